//! Reading what replicas write.

use std::pin::pin;

use futures_util::StreamExt as _;
use prograde_node::{LogLine, LogQuery, LogStream};
use tokio::time::timeout;

use crate::fixture::{Fixture, PATIENCE, revision, version, with_env, workload};

#[tokio::test]
async fn lines_are_followed_and_those_of_crashed_replicas_are_kept() {
    let fixture = Fixture::new().await;
    let crashing = with_env(workload(), "APP_EXIT", "3");
    fixture.apply(vec![version('a', &workload(), 1, 100), version('b', &crashing, 1, 0)]).await;
    fixture.until_ready('a', 1).await;
    let query = LogQuery { tail_lines: Some(0), follow: true, revision: Some(revision('a')) };
    let mut follow = pin!(fixture.node.logs(&fixture.target, query).await);
    for n in 0..20 {
        fixture.get(&format!("/say/line-{n}")).await;
    }
    for n in 0..20 {
        let line: LogLine = timeout(PATIENCE, follow.next()).await.unwrap().unwrap();
        assert_eq!((line.line, line.stream), (format!("line-{n}"), LogStream::Stdout));
    }
    fixture.until('b', |seen| seen.restarts >= 2).await;
    fixture.apply(vec![version('a', &workload(), 1, 100)]).await;
    fixture.until('b', |seen| seen.replicas == 0).await;
    let query = LogQuery { revision: Some(revision('b')), ..LogQuery::default() };
    let lines: Vec<LogLine> = fixture.node.logs(&fixture.target, query).await.collect().await;
    let errors = lines.iter().filter(|line| line.stream == LogStream::Stderr && line.line == "cannot go on");
    assert!(errors.count() >= 2, "{lines:?}");
    let query = LogQuery { tail_lines: Some(2), follow: false, revision: Some(revision('a')) };
    let tail: Vec<String> = fixture.node.logs(&fixture.target, query).await.map(|line| line.line).collect().await;
    assert_eq!(tail, ["line-18", "line-19"]);
    fixture.end().await;
    assert_eq!(timeout(PATIENCE, follow.next()).await.unwrap().map(|line| line.line), Some("told to end".to_owned()));
    assert_eq!(timeout(PATIENCE, follow.next()).await.unwrap(), None, "following ends with the node");
}
