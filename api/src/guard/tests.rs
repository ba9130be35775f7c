#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use tokio::time::Instant;

use super::*;

/// What a server says, look for look, and for ever what it says last. `None`: it cannot be reached.
struct Script {
    looks: Mutex<Vec<Option<bool>>>,
    carried: Mutex<Vec<usize>>,
    carries: bool,
}

impl Script {
    fn new(mut looks: Vec<Option<bool>>) -> Script {
        looks.reverse();
        Script { looks: Mutex::new(looks), carried: Mutex::default(), carries: true }
    }
}

#[async_trait]
impl Witness for Script {
    async fn expects_us(&self) -> Result<bool> {
        let said = {
            let mut looks = self.looks.lock().unwrap();
            if looks.len() > 1 { looks.pop().unwrap() } else { looks[0] }
        };
        match said {
            Some(said) => Ok(said),
            None => std::future::pending().await,
        }
    }

    async fn carry(&self, bytes: usize) -> Result<()> {
        self.carried.lock().unwrap().push(bytes);
        if self.carries { Ok(()) } else { Err(dead()) }
    }
}

/// Seconds until a connection is given up, within an hour.
async fn given_up_after(script: &Script) -> Option<u64> {
    let began = Instant::now();
    let gave_up = timeout(Duration::from_secs(3600), until_dead(1 << 20, script)).await;
    gave_up.ok().map(|()| began.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_dead_when_the_server_waits_for_us_on_it_twice() {
    let script = Script::new(vec![Some(true)]);
    assert_eq!(given_up_after(&script).await, Some(5));
    assert_eq!(*script.carried.lock().unwrap(), [1 << 20]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_works_is_waited_for() {
    assert_eq!(given_up_after(&Script::new(vec![Some(false)])).await, None);
    // It worked between two looks, so that the answer may be on its way.
    let looks = vec![Some(true), Some(false), Some(true), Some(true)];
    assert_eq!(given_up_after(&Script::new(looks)).await, Some(9));
}

#[tokio::test(start_paused = true)]
async fn without_a_second_connection_nothing_is_given_up() {
    assert_eq!(given_up_after(&Script::new(vec![None])).await, None);
    let looks = vec![None, None, Some(true)];
    assert_eq!(given_up_after(&Script::new(looks)).await, Some(13));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_cannot_carry_as_much_is_slow_and_not_dead() {
    let script = Script { carries: false, ..Script::new(vec![Some(true)]) };
    assert_eq!(given_up_after(&script).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_is_not_disturbed() {
    let script = Script::new(vec![Some(true)]);
    assert_eq!(watched(async { 7 }, 0, Some(&script)).await.unwrap(), 7);
    let long = async {
        sleep(Duration::from_secs(4)).await;
        8
    };
    assert_eq!(watched(long, 0, Some(&script)).await.unwrap(), 8);
    let error = watched(std::future::pending::<()>(), 0, Some(&script)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
}

/// When a try that is made so many seconds after the first is answered, in seconds after it began.
async fn connected_after(limit: u64, answered: impl Fn(u64) -> Option<u64>) -> Option<u64> {
    let began = Instant::now();
    let connected = connecting(Duration::from_secs(limit), || {
        let answer = answered(began.elapsed().as_secs());
        async move {
            match answer {
                Some(after) => sleep(Duration::from_secs(after)).await,
                None => std::future::pending().await,
            }
            Ok(())
        }
    });
    connected.await.map(|done| {
        done.unwrap();
        began.elapsed().as_secs()
    })
}

#[tokio::test(start_paused = true)]
async fn a_beginning_that_is_lost_is_not_waited_for() {
    // Nobody answers who began before the tenth second.
    assert_eq!(connected_after(30, |began| (began >= 10).then_some(1)).await, Some(13));
    assert_eq!(connected_after(30, |_| None).await, None);
    // A server that takes its time is given it.
    assert_eq!(connected_after(30, |_| Some(20)).await, Some(20));
}
