//! Prometheus itself sends what it has scraped.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use prograde_observe::remote_write::receive;
use prograde_observe::store::StoreError;
use prograde_observe::{Append, Appended, Incoming, IncomingHistogram, Labels, Sample};

use crate::peer::Prometheus;
use crate::scraping::site::Site;

/// Keeps all that is written: numbers, and histograms as text.
#[derive(Default)]
pub(crate) struct Recorder(pub(crate) Mutex<Vec<(Labels, Sample)>>, pub(crate) Mutex<Vec<String>>);

impl Append for Recorder {
    fn append(&self, batch: &[Incoming<'_>]) -> Result<Appended, StoreError> {
        self.0.lock().unwrap().extend(batch.iter().map(|one| (one.labels.clone(), one.sample)));
        Ok(Appended { kept: batch.len(), ..Appended::default() })
    }

    fn append_histograms(&self, batch: &[IncomingHistogram<'_>]) -> Result<Appended, StoreError> {
        let line = |one: &IncomingHistogram<'_>| format!("{} {}", one.labels, one.sample.histogram);
        self.1.lock().unwrap().extend(batch.iter().map(line));
        Ok(Appended { kept: batch.len(), ..Appended::default() })
    }
}

/// Takes in requests, one a connection, each answered with a status and a body.
pub(crate) fn take_in(listener: &TcpListener, receive: impl Fn(&[u8]) -> (u16, Vec<u8>)) {
    for stream in listener.incoming() {
        let mut stream = BufReader::new(stream.unwrap());
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).unwrap_or(0) < 3 {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        if length == 0 || stream.read_exact(&mut body).is_err() {
            continue;
        }
        let (status, answer) = receive(&body);
        let head = format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", answer.len());
        drop(stream.get_mut().write_all(&[head.as_bytes(), &answer].concat()));
    }
}

#[test]
fn prometheus_sends_what_it_has_scraped() {
    let body = b"# TYPE a counter\na{b=\"\xc3\xa9\"} 1.5\nnan NaN\ninf -Inf\n".to_vec();
    let site = Site::of_bodies(vec![("/metrics".to_owned(), "text/plain", body)]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "global: {{ scrape_interval: 1s, external_labels: {{ from: there }} }}\n\
         remote_write: [{{ url: 'http://{}/api/v1/write' }}]\n\
         scrape_configs: [{{ job_name: j, static_configs: [{{ targets: ['{}'] }}] }}]\n",
        listener.local_addr().unwrap(),
        site.address
    );
    let (recorder, answers) = (Arc::new(Recorder::default()), Arc::<Mutex<Vec<String>>>::default());
    let (kept, told) = (Arc::clone(&recorder), Arc::clone(&answers));
    std::thread::spawn(move || {
        take_in(&listener, |body| match receive(body, &*kept) {
            Ok(_) => (204, Vec::new()),
            Err(error) => {
                told.lock().unwrap().push(error.to_string());
                (error.status(), Vec::new())
            }
        });
    });
    let Some(prometheus) = Prometheus::start_with(&config) else { return };
    let wanted = ["a", "nan", "inf", "up", "scrape_samples_scraped"];
    prometheus.wait("it has sent all series", |_| {
        let written = recorder.0.lock().unwrap();
        let names: BTreeSet<&str> = written.iter().map(|(labels, _)| labels.get("__name__")).collect();
        wanted.iter().all(|name| names.contains(name)).then_some(())
    });
    let written = recorder.0.lock().unwrap();
    let a = written.iter().find(|(labels, _)| labels.get("__name__") == "a").unwrap();
    let name = format!(r#"a{{b="é", from="there", instance="{}", job="j"}}"#, site.address);
    assert_eq!((a.0.to_string(), a.1.value.to_bits()), (name, 1.5_f64.to_bits()));
    assert!(written.iter().any(|(labels, sample)| labels.get("__name__") == "nan" && sample.value.is_nan()));
    assert!(answers.lock().unwrap().is_empty(), "{:?}", answers.lock().unwrap());
}
