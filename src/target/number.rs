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
    let Decimal { negative, digits, point } = take_apart(text)?;
    if digits.is_empty() {
        return Some(0);
    }
    let point = usize::try_from(point).ok().filter(|point| (digits.len()..=19).contains(point))?;
    let sign = if negative { "-" } else { "" };
    format!("{sign}{digits:0<point$}").parse().ok()
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
