//! Signing in: what it costs others, and whether its time tells who is known.

use super::{median, served};
use crate::house::{House, KEY, PASSWORD};
use crate::traffic::histogram;
use hdrhistogram::Histogram;
use reqwest::Client;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

async fn house() -> House {
    let house = served::house(&[]).await;
    house.person("anna", "viewer").await;
    house
}

/// One try; the status and how long it took.
async fn enter(client: &Client, house: &House, email: &str, password: &str) -> (u16, Duration) {
    let url = format!("http://127.0.0.1:{}/api/auth/token", house.http);
    let begun = Instant::now();
    let answer = client.post(url).json(&json!({"email": email, "password": password})).send().await.unwrap();
    let status = answer.status().as_u16();
    answer.bytes().await.unwrap();
    (status, begun.elapsed())
}

/// Medians, in milliseconds, of so many tries each with an unknown address and with a wrong password, one after the other in turns.
pub async fn timing(pairs: usize) -> (f64, f64) {
    let (house, client) = (house().await, Client::new());
    let (mut unknown, mut wrong) = (vec![], vec![]);
    for pair in 0..pairs {
        let mut tries = [("nobody@example.com", false), ("anna@example.com", true)];
        if pair % 2 == 1 {
            tries.reverse();
        }
        for (email, known) in tries {
            let (status, took) = enter(&client, &house, email, "a wrong password").await;
            assert_eq!(status, 401);
            if known { &mut wrong } else { &mut unknown }.push(took.as_secs_f64() * 1000.0);
        }
    }
    (median(unknown), median(wrong))
}

/// What people who sign in cost others.
pub struct Crowd {
    /// Sign-ins per second that were asked for and done.
    pub per_second: f64,
    /// How long they took, in microseconds.
    pub sign_ins: Histogram<u64>,
    /// Another route, in microseconds, before and meanwhile.
    pub others: (Histogram<u64>, Histogram<u64>),
}

/// A key asks for its sessions every 5 ms, for so long.
async fn others(house: &House, time: Duration) -> Histogram<u64> {
    let (client, mut times, begun) = (Client::new(), histogram(), Instant::now());
    for n in 0_u32.. {
        let due = begun + Duration::from_millis(5) * n;
        if due - begun > time {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        let url = format!("http://127.0.0.1:{}/api/sessions", house.http);
        let answer = client.get(url).header("x-api-key", KEY).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
        times.record(u64::try_from(due.elapsed().as_micros()).unwrap().max(1)).unwrap();
    }
    times
}

/// Twenty sign in each second, for so long, and nobody waits for another.
pub async fn crowd(time: Duration) -> Crowd {
    const PER_SECOND: f64 = 20.0;
    let house = Arc::new(house().await);
    let calm = others(&house, Duration::from_secs(5)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let entering = tokio::spawn({
        let (house, stop) = (Arc::clone(&house), Arc::clone(&stop));
        async move {
            let (client, begun) = (Client::new(), Instant::now());
            let mut all = vec![];
            for n in 0_u32.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                tokio::time::sleep_until((begun + Duration::from_secs_f64(1.0 / PER_SECOND) * n).into()).await;
                let (house, client) = (Arc::clone(&house), client.clone());
                all.push(tokio::spawn(async move { enter(&client, &house, "anna@example.com", PASSWORD).await }));
            }
            let (mut times, mut done) = (histogram(), 0_u32);
            for one in all {
                let (status, took) = one.await.unwrap();
                assert_eq!(status, 200);
                times.record(u64::try_from(took.as_micros()).unwrap()).unwrap();
                done += 1;
            }
            (times, f64::from(done) / begun.elapsed().as_secs_f64())
        }
    });
    let meanwhile = others(&house, time).await;
    stop.store(true, Ordering::Relaxed);
    let (sign_ins, per_second) = entering.await.unwrap();
    Crowd { per_second, sign_ins, others: (calm, meanwhile) }
}
