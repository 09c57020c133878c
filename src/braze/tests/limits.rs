//! Waiting: announced resets, fences, unbroken failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use futures_util::future::join_all;

use super::fake::{Act, FakeBraze, all_accepted, batch, batch_from, braze_at, reply};
use crate::braze::{HoldReason, Stop, Verdict};

#[tokio::test]
async fn nothing_is_sent_by_any_run_before_an_announced_reset() {
    let fake = FakeBraze::start(|number, request| match number {
        0 => Act::Reply(429, "x-ratelimit-retry-after: 1\r\n".to_owned(), String::new()),
        _ => all_accepted(request),
    })
    .await;
    let braze = fake.braze("");
    let mut hold = braze.hold();
    let first = braze.pusher(Arc::new(|| true), CancellationToken::new());
    let others = braze.pusher(Arc::new(|| true), CancellationToken::new());
    let batches: Vec<_> = (0..20).map(|number| batch_from(number * 10, 10)).collect();
    let both = async {
        let first = first.push(&batches[0]);
        let others = async {
            hold.wait_for(Option::is_some).await.expect("braze lives");
            let why = hold.borrow().map(|hold| hold.why);
            (why, join_all(batches[1..].iter().map(|batch| others.push(batch))).await)
        };
        tokio::join!(first, others)
    };
    let (first, (why, others)) = both.await;
    assert_eq!(why, Some(HoldReason::AnnouncedReset));
    assert_eq!(first.map(|pushed| (pushed.requests, pushed.retries)).expect("answered"), (2, 1));
    assert!(others.iter().all(|pushed| pushed.as_ref().is_ok_and(|pushed| pushed.requests == 1)));
    let seen = fake.seen();
    assert!(seen[1..].iter().all(|request| request.at - seen[0].at >= Duration::from_secs(1)));
    assert_eq!(seen[1].in_flight, 1, "it starts again with one");
    assert_eq!(*hold.borrow(), None);
}

#[tokio::test]
async fn nothing_is_sent_once_nothing_remains() {
    let fake = FakeBraze::start(|number, request| {
        let told = if number == 0 { "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 1\r\n" } else { "" };
        match all_accepted(request) {
            Act::Reply(status, _, body) => Act::Reply(status, told.to_owned(), body),
            other => other,
        }
    })
    .await;
    let pusher = fake.pusher("");
    for _ in 0..2 {
        pusher.push(&batch(1)).await.expect("answered");
    }
    let seen = fake.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(990));
}

#[tokio::test]
async fn a_restored_hold_is_kept() {
    let fake = FakeBraze::start(|_, request| all_accepted(request)).await;
    let braze = fake.braze("");
    let began = tokio::time::Instant::now();
    braze.hold_until(crate::clock::Clock::system().now() + Duration::from_millis(1_200));
    assert!(braze.hold().borrow().is_some());
    braze.pusher(Arc::new(|| true), CancellationToken::new()).push(&batch(1)).await.expect("answered");
    assert!(fake.seen()[0].at - began >= Duration::from_millis(1_190));
}

#[tokio::test]
async fn a_workspace_under_a_new_key_keeps_what_was_announced_to_the_old_one() {
    let fake = FakeBraze::start(|number, request| match number {
        0 => Act::Reply(429, "x-ratelimit-retry-after: 1\r\n".to_owned(), String::new()),
        _ => all_accepted(request),
    })
    .await;
    let earlier = fake.braze("batch_size = 50");
    earlier.shrink(20);
    let later = braze_at(&fake.endpoint(), "batch_size = 50", &[]).expect("good").following(&earlier);
    let later = Arc::new(later);
    assert_eq!(later.batch_size(), 10);
    let mut hold = later.hold();
    let (first, second) = (batch(1), batch_from(1, 1));
    let old = earlier.pusher(Arc::new(|| true), CancellationToken::new());
    let new = later.pusher(Arc::new(|| true), CancellationToken::new());
    let after = async {
        hold.wait_for(Option::is_some).await.expect("braze lives");
        new.push(&second).await
    };
    let (first, second) = tokio::join!(old.push(&first), after);
    assert!(first.is_ok() && second.is_ok());
    let seen = fake.seen();
    assert!(seen[1..].iter().all(|request| request.at - seen[0].at >= Duration::from_secs(1)));
}

#[tokio::test]
async fn the_fence_is_asked_before_every_request() {
    let fake = FakeBraze::start(|_, _| reply(500, "")).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let fence = {
        let asked = Arc::clone(&asked);
        // Each request asks before it queues, right before it starts and when it is written: the third is forbidden.
        move || asked.fetch_add(1, Ordering::SeqCst) < 6
    };
    let failed = fake
        .braze("")
        .pusher(Arc::new(fence), CancellationToken::new())
        .push(&batch(5))
        .await
        .expect_err("fenced");
    assert_eq!((failed.stop, failed.requests, failed.retries), (Stop::Fenced, 2, 1));
    assert_eq!(fake.seen().len(), 2);
    assert_eq!(failed.bytes_sent, 2 * fake.seen()[0].body.len() as u64);

    let failed = fake
        .braze("")
        .pusher(Arc::new(|| false), CancellationToken::new())
        .push(&batch(5))
        .await
        .expect_err("fenced");
    assert_eq!((failed.stop, failed.requests), (Stop::Fenced, 0));
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn a_request_that_gets_to_be_written_too_late_is_not() {
    let fake = FakeBraze::start(|_, request| all_accepted(request)).await;
    let asked = Arc::new(AtomicUsize::new(0));
    // It may queue and start, and by the time its connection stands the lease has run out.
    let fence = Arc::new(move || asked.fetch_add(1, Ordering::SeqCst) < 2);
    let pusher = fake.braze("").pusher(fence, CancellationToken::new());
    let failed = pusher.push(&batch(5)).await.expect_err("fenced");
    assert_eq!((failed.stop, failed.requests, failed.bytes_sent), (Stop::Fenced, 0, 0));
    assert!(!failed.may_be_taken);
    assert_eq!(fake.seen().len(), 0);
    fake.pusher("").push(&batch(5)).await.expect("answered");
    assert_eq!(fake.seen()[0].updates().len(), 5, "a body that is written is written whole");
}

#[tokio::test]
async fn failures_are_tried_again_with_the_same_payload() {
    let fake = FakeBraze::start(|number, request| match number {
        0 => reply(500, "<html>"),
        1 => Act::Drop,
        2 => Act::Hang,
        3 => reply(408, ""),
        // It says that it took it, and never ends saying so.
        4 => Act::Raw(b"HTTP/1.1 201 X\r\ncontent-length: 60\r\n\r\n{\"message\":\"success\"".to_vec()),
        _ => all_accepted(request),
    })
    .await;
    let pushed = fake.pusher("request_timeout_secs = 1").push(&batch(5)).await.expect("answered");
    assert_eq!((pushed.verdicts, pushed.requests, pushed.retries), (vec![Verdict::Accepted; 5], 6, 5));
    let seen = fake.seen();
    assert!(seen.iter().all(|request| request.body == seen[0].body));
}

#[tokio::test]
async fn unbroken_failure_is_given_up_after_its_time() {
    let fake = FakeBraze::start(|_, _| reply(503, "")).await;
    let pusher = fake.pusher("give_up_after = \"1s\"\nretry_cap_secs = 1");
    let batches: Vec<_> = (0..30).map(|number| batch_from(number * 10, 10)).collect();
    let began = tokio::time::Instant::now();
    let pushed = join_all(batches.iter().map(|batch| pusher.push(batch))).await;
    assert!(pushed.iter().all(|pushed| pushed.as_ref().is_err_and(|failed| failed.stop == Stop::GaveUp)));
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(5)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_dead_braze_is_asked_by_one_request_at_a_time() {
    let is_dead = Arc::new(AtomicBool::new(true));
    let fake = {
        let is_dead = Arc::clone(&is_dead);
        FakeBraze::start(move |number, request| {
            if number == 60 {
                is_dead.store(false, Ordering::SeqCst);
            }
            if is_dead.load(Ordering::SeqCst) { reply(502, "") } else { all_accepted(request) }
        })
        .await
    };
    let pusher = fake.pusher("retry_cap_secs = 1\nretry_base_ms = 10");
    let batches: Vec<_> = (0..50).map(|number| batch_from(number * 10, 10)).collect();
    let pushed = join_all(batches.iter().map(|batch| pusher.push(batch))).await;
    assert!(
        pushed
            .iter()
            .all(|pushed| pushed.as_ref().is_ok_and(|pushed| pushed.verdicts == [Verdict::Accepted; 10]))
    );
    let seen = fake.seen();
    // Eight were in flight when the first failed; some more may have started before the fifth did.
    assert!(seen[20..60].iter().all(|request| request.in_flight == 1));
}

#[tokio::test]
async fn retries_are_few_while_most_requests_are_answered() {
    let fake = FakeBraze::start(|number, request| match number % 25 {
        24 => reply(500, ""),
        _ => all_accepted(request),
    })
    .await;
    let pusher = fake.pusher("");
    let batches: Vec<_> = (0..400).map(|number| batch_from(number * 2, 2)).collect();
    let pushed = join_all(batches.iter().map(|batch| pusher.push(batch))).await;
    let retries: u32 = pushed.iter().map(|pushed| pushed.as_ref().expect("answered").retries).sum();
    assert!((16..=40).contains(&retries), "{retries}");
}
