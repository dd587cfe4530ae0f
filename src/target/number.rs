//! Numbers as the digits they were sent with: whether a text is one, and whether it fits a 64-bit integer or float without loss.

/// A decimal number taken apart: `0.digits × 10^point`, without zeros at either end of its digits.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    point: i64,
}

/// Whether `text` is a decimal number: `-12.50`, `7`, `1e3`; nothing around it, not `NaN`.
pub(super) fn is_number(text: &str) -> bool {
    take_apart(text).is_some()
}

/// The whole number that `text` is (`20417`, `3.0`, `1e3`), if it has 64 bits at most.
pub(super) fn to_integer(text: &str) -> Option<i64> {
    to_whole(text)?.try_into().ok()
}

/// The whole number that `text` is, if it has 38 digits at most.
pub(super) fn to_whole(text: &str) -> Option<i128> {
    let Decimal { negative, digits, point } = take_apart(text)?;
    if digits.is_empty() {
        return Some(0);
    }
    let point = usize::try_from(point).ok().filter(|point| (digits.len()..=38).contains(point))?;
    let sign = if negative { "-" } else { "" };
    format!("{sign}{digits:0<point$}").parse().ok()
}

/// The most digits before or behind the point of a decimal that no column limits.
const MOST_DIGITS: i64 = 10_000;

/// The number without an exponent and zeros in front, with as many digits behind the point as the column has, or as were sent.
/// None when it is no number or has more digits than fit (in all, behind the point).
pub(super) fn to_plain(text: &str, fits: Option<(u32, u32)>) -> Option<String> {
    let Decimal { negative, digits, point } = take_apart(text)?;
    let length = i64::try_from(digits.len()).ok()?;
    let (before, behind) = (point.max(0), (length - point).max(0));
    let shown = match fits {
        Some((all, scale)) if behind <= scale.into() && before <= i64::from(all) - i64::from(scale) => scale.into(),
        Some(_) => return None,
        None => behind.max(sent_behind(text)),
    };
    if before > MOST_DIGITS || shown > MOST_DIGITS {
        return None;
    }
    let [before, gap, shown] =
        [before, (-point).max(0).min(shown), shown].map(|count| usize::try_from(count).unwrap_or_default());
    let (whole, fraction) = digits.split_at(before.min(digits.len()));
    let whole = if before == 0 { "0".to_owned() } else { format!("{whole:0<before$}") };
    let fraction = format!("{}{fraction}", "0".repeat(gap));
    let sign = if negative { "-" } else { "" };
    Some(if shown == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction:0<shown$}") })
}

/// How many digits behind the point a number was sent with.
fn sent_behind(text: &str) -> i64 {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    i64::try_from(fraction).unwrap_or(i64::MAX).saturating_sub(exponent.parse().unwrap_or(0)).max(0)
}

/// Whether `text` is a whole number of any size.
pub(super) fn is_whole(text: &str) -> bool {
    take_apart(text).is_some_and(|number| i64::try_from(number.digits.len()).is_ok_and(|length| length <= number.point.max(0)))
}

/// The float nearest to `text`, if it is a number and not too large for one.
pub(super) fn to_float(text: &str) -> Option<f64> {
    take_apart(text)?;
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// The float that prints as the same number as `text`: no digit is lost.
pub(super) fn to_exact_float(text: &str) -> Option<f64> {
    let float = to_float(text)?;
    (take_apart(&format!("{float:e}")) == take_apart(text)).then_some(float)
}

fn take_apart(text: &str) -> Option<Decimal> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || mantissa.ends_with('.') {
        return None;
    }
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let leading = i64::try_from(all.len() - significant.len()).ok()?;
    let digits = significant.trim_end_matches('0').to_owned();
    if digits.is_empty() {
        return Some(Decimal { negative: false, digits, point: 0 });
    }
    let point = i64::try_from(whole.len()).ok()? - leading + i64::from(exponent);
    Some(Decimal { negative, digits, point })
}
