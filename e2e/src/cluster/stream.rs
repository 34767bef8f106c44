//! A node's events, as a client reads them.

use std::io::{BufRead as _, BufReader};

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventView {
    /// Its place; `None` if it does not last.
    pub id: Option<String>,
    /// What it is.
    pub kind: String,
    /// A JSON object.
    pub body: String,
}

/// A stream of events; it ends with the node.
pub struct EventStream {
    answer: BufReader<ureq::BodyReader<'static>>,
    line: String,
}

impl EventStream {
    /// Listens to the server at a base URL, from now on. Errors unless a stream begins.
    pub fn open(url: &str) -> anyhow::Result<Self> {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
        let response = ureq::Agent::from(config).get(format!("{url}/api/v1/events")).call()?;
        anyhow::ensure!(response.status() == 200, "{url} answered {} and no events", response.status());
        Ok(Self { answer: BufReader::new(response.into_body().into_reader()), line: String::new() })
    }

    /// The next line without its end; whatever breaks a stream ends it.
    fn next_line(&mut self) -> Option<&str> {
        self.line.clear();
        let read = self.answer.read_line(&mut self.line).ok()?;
        (read > 0).then(|| self.line.trim_end_matches('\n'))
    }
}

impl Iterator for EventStream {
    type Item = EventView;

    fn next(&mut self) -> Option<EventView> {
        let mut event = EventView::default();
        loop {
            match self.next_line()?.split_once(": ") {
                Some(("id", id)) => event.id = Some(id.to_owned()),
                Some(("event", kind)) => kind.clone_into(&mut event.kind),
                Some(("data", body)) => body.clone_into(&mut event.body),
                // `retry`, comments, and the empty line that ends a block.
                Some(_) => {}
                None if event.body.is_empty() => event = EventView::default(),
                None => return Some(event),
            }
        }
    }
}
