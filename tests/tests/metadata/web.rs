//! A metadata service at an address of this machine, which answers as it is told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the service does with a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Answers with a status and a body.
    Says(u16, String),
    /// Keeps the connection open and says nothing.
    Silent,
}

/// The service.
pub(super) struct Web {
    pub(super) port: u16,
    answer: Arc<Mutex<Answer>>,
    /// The head of every request.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Web {
    pub(super) fn start(answer: Answer) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (answer, heard) = (Arc::new(Mutex::new(answer)), Arc::<Mutex<Vec<String>>>::default());
        let (next, told) = (Arc::clone(&answer), Arc::clone(&heard));
        std::thread::spawn(move || {
            // Connections that wait for an answer that does not come.
            let mut kept = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let Some(head) = head_of(&mut stream) else { continue };
                told.lock().expect("nobody panics here").push(head);
                let answer = next.lock().expect("nobody panics here").clone();
                match answer {
                    Answer::Silent => kept.push(stream),
                    Answer::Says(status, body) => {
                        let text = format!(
                            "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                            body.len()
                        );
                        // Whoever asked may have gone.
                        let _ = stream.write_all(text.as_bytes());
                    }
                }
            }
        });
        Web { port, answer, heard }
    }

    /// From now on it answers so.
    pub(super) fn answers(&self, answer: Answer) {
        *self.answer.lock().expect("nobody panics here") = answer;
    }

    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("nobody panics here").clone()
    }
}

fn head_of(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 2048];
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8(bytes).ok()
}
