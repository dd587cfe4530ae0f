//! Limits that answers tell are kept to before the provider refuses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::harness::*;
use crate::clock::Timestamp;
use crate::model::failure::Retry;

/// Takes 30 requests a minute, counted in fixed windows; tells so in one way or another, and refuses what is too much.
async fn counting(
    tell: fn(u32, u64) -> Vec<(&'static str, String)>,
    clock: &crate::clock::Clock,
) -> (Provider, Arc<Mutex<usize>>) {
    let refused = Arc::new(Mutex::new(0));
    let (count, clock) = (Arc::clone(&refused), clock.clone());
    let window: Arc<Mutex<(i64, u32)>> = Arc::default();
    let provider = Provider::start(move |_, _| {
        let now = clock.now().as_micros();
        let mut window = window.lock().expect("lock");
        if now / 60_000_000 != window.0 {
            *window = (now / 60_000_000, 0);
        }
        let left_s = u64::try_from(60 - now / 1_000_000 % 60).expect("a rest");
        window.1 += 1;
        let status = if window.1 > 30 { 429 } else { 200 };
        if status == 429 {
            *count.lock().expect("lock") += 1;
        }
        let headers = tell(30_u32.saturating_sub(window.1), left_s);
        async move {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            response(status, &headers, "{}")
        }
    })
    .await;
    (provider, refused)
}

#[tokio::test]
async fn a_provider_that_tells_its_limit_never_has_to_refuse() {
    for tell in [
        |left: u32, reset: u64| {
            vec![
                ("x-ratelimit-limit", "30".to_owned()),
                ("x-ratelimit-remaining", left.to_string()),
                ("x-ratelimit-reset", reset.to_string()),
            ]
        },
        |left: u32, reset: u64| {
            vec![("ratelimit", format!("\"a\";r={left};t={reset}")), ("ratelimit-policy", "\"a\";q=30;w=60".to_owned())]
        },
        |left: u32, _: u64| {
            vec![
                ("x-callcost", "10".to_owned()),
                ("x-ratelimiting", format!("token-limit-300-per-60-seconds: {}/300", 300 - left * 10)),
            ]
        },
    ] {
        let clock = manual_clock();
        let (provider, refused) = counting(tell, &clock).await;
        let client = client(&clock);
        let mut made = 0;
        while made < 100 {
            match client.call(&get(&provider.url(&format!("/{made}")))).await.1 {
                Ok(answer) => {
                    assert_eq!(answer.status, 200);
                    made += 1;
                }
                Err(failure) => {
                    let Retry::NotBefore { at, hold: true } = failure.retry else { panic!("{failure}") };
                    clock.move_to(Timestamp::from_micros(at));
                }
            }
        }
        assert_eq!(*refused.lock().expect("lock"), 0);
        let took = clock.now().since(START);
        assert!(took < Duration::from_secs(6 * 60), "and it is not too careful either: {took:?}");
    }
}

#[tokio::test]
async fn a_call_may_have_limits_of_its_own_besides_those_of_its_api() {
    let provider = Provider::with_statuses(&[200]).await;
    let client = client(&manual_clock());
    let rate = |text| vec![crate::config::units::parse_rate(text).expect("a rate")];
    let own = call(&provider.url("/a"), |api| {
        api.allow_private = true;
        api.limits = rate("1000/m");
        api.own_limits = Some(("report".to_owned(), rate("1/m")));
    });
    assert!(client.call(&own).await.1.is_ok());
    assert!(client.call(&own).await.1.is_err());
    assert!(client.call(&get(&provider.url("/b"))).await.1.is_ok());
}
