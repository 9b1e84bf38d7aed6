//! Parameters, from the address or from a form: the same name may come more than once.

use std::time::Duration;

use axum::RequestExt as _;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use jiff::Timestamp;
use prograde_model::duration;
use prograde_observe::matcher::Matcher;
use prograde_observe::promql;

use super::answer::Refused;

/// All parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let address = request.uri().query().unwrap_or_default().to_owned();
        let mut pairs = decoded(address.as_bytes())?;
        if request.method() == axum::http::Method::POST {
            let form: Bytes = request.extract().await.map_err(|error: axum::extract::rejection::BytesRejection| {
                Refused::bad_data(format!("the form can't be read: {error}"))
            })?;
            // What the form says comes first, as Go's `ParseForm` has it.
            pairs.splice(0..0, decoded(&form)?);
        }
        Ok(Self(pairs))
    }
}

fn decoded(pairs: &[u8]) -> Result<Vec<(String, String)>, Refused> {
    serde_urlencoded::from_bytes(pairs)
        .map_err(|error| Refused::bad_data(format!("the parameters can't be read: {error}")))
}

impl Parameters {
    /// The first value of a parameter that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All of them as a form.
    pub(super) fn form(&self) -> Vec<u8> {
        serde_urlencoded::to_string(&self.0).unwrap_or_default().into_bytes()
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// As [`Self::get`]; it has to be there.
    pub(super) fn needed(&self, name: &str) -> Result<&str, Refused> {
        self.get(name).ok_or_else(|| Refused::parameter(name, "it is missing"))
    }

    /// A time in milliseconds: seconds since 1970, or RFC 3339.
    pub(super) fn time_ms(&self, name: &str) -> Result<Option<i64>, Refused> {
        self.get(name)
            .map(|text| time_ms(text).ok_or_else(|| Refused::parameter(name, not_a("time", text))))
            .transpose()
    }

    /// A length of time in milliseconds: seconds, or a duration as in a query.
    pub(super) fn duration_ms(&self, name: &str) -> Result<Option<i64>, Refused> {
        let read = |text| duration_ms(text).ok_or_else(|| Refused::parameter(name, not_a("duration", text)));
        self.get(name).map(read).transpose()
    }

    /// How long a query may take; never longer than `most`.
    pub(super) fn timeout(&self, most: Duration) -> Result<Duration, Refused> {
        let asked = self.duration_ms("timeout")?.and_then(|ms| u64::try_from(ms).ok());
        Ok(asked.map_or(most, |ms| Duration::from_millis(ms).min(most)))
    }

    /// What the series must be like, for each `match[]`; one of them is enough.
    pub(super) fn matchers(&self) -> Result<Vec<Vec<Matcher>>, Refused> {
        let read = |text| promql::selector(text).map_err(|error| Refused::parameter("match[]", error.to_string()));
        self.all("match[]").map(read).collect()
    }

    /// From when to when, in milliseconds; all time where nothing is said.
    pub(super) fn between_ms(&self) -> Result<(i64, i64), Refused> {
        let from = self.time_ms("start")?.unwrap_or(i64::MIN);
        let to = self.time_ms("end")?.unwrap_or(i64::MAX);
        if to < from { Err(Refused::parameter("end", "it is before the start")) } else { Ok((from, to)) }
    }
}

fn not_a(what: &str, text: &str) -> String {
    format!("{:?} is no {what}", text.chars().take(100).collect::<String>())
}

fn time_ms(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) => milliseconds(seconds),
        Err(_) => text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
    }
}

fn duration_ms(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) => milliseconds(seconds),
        Err(_) => duration::parse(text),
    }
}

/// Prometheus counts times of clients in 63 bits of nanoseconds, and so does this.
#[expect(clippy::cast_possible_truncation, reason = "within the bounds, which are checked")]
fn milliseconds(seconds: f64) -> Option<i64> {
    const SECONDS_MAX: f64 = 9_223_372_036.0;
    (seconds.abs() <= SECONDS_MAX).then(|| (seconds * 1_000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        for (text, ms) in [
            ("1435781451.781", Some(1_435_781_451_781)),
            ("0", Some(0)),
            ("-1.5", Some(-1_500)),
            ("2015-07-01T20:10:51.781Z", Some(1_435_781_451_781)),
            ("2015-07-01T22:10:51+02:00", Some(1_435_781_451_000)),
            ("1e400", None),
            ("NaN", None),
            ("yesterday", None),
        ] {
            assert_eq!(time_ms(text), ms, "{text}");
        }
        for (text, ms) in
            [("15", Some(15_000)), ("0.5", Some(500)), ("1h30m", Some(5_400_000)), ("1x", None), ("-", None)]
        {
            assert_eq!(duration_ms(text), ms, "{text}");
        }
    }

    #[test]
    fn a_name_may_come_more_than_once() {
        let parameters = Parameters(decoded(b"match[]=up&match%5B%5D=%7Ba%3D%22b%22%7D&start=5&query=").unwrap());
        assert_eq!(parameters.matchers().unwrap().len(), 2);
        assert_eq!(parameters.get("query"), None, "nothing is said with nothing");
        assert_eq!(parameters.between_ms().unwrap(), (5_000, i64::MAX));
        for (text, error) in [
            ("match[]={}", "at least one matcher that does not accept the empty value"),
            ("match[]={a=~\".*\"}", "at least one matcher that does not accept the empty value"),
            ("match[]=1", "match[]"),
            ("match[]=up{", "match[]"),
        ] {
            let refused = Parameters(decoded(text.as_bytes()).unwrap()).matchers().unwrap_err();
            assert!(refused.to_string().contains(error), "{refused}");
        }
        let refused = Parameters(decoded(b"start=2&end=1").unwrap()).between_ms().unwrap_err();
        assert!(refused.to_string().contains("before the start"));
    }
}
