//! Forwards TCP and makes the round trip longer by a fixed time, as a network does: every byte comes later, and no
//! fewer bytes a second come through.
//!
//! ```text
//! delay-proxy --listen PORT --to HOST:PORT --delay-ms 2
//! ```
//!
//! The whole delay lies on the way from the client to the server; the way back is not delayed. What is read is
//! stamped, waits in a bounded queue and is written when its time has come, so any number of chunks can be under way.
//! Threads, not tokio: its timers count whole milliseconds, and half of a delay of 2 ms would be rounding.
//!
//! Prints one line of JSON when it listens, and ends when its stdin does.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: delay-proxy --listen PORT --to HOST:PORT [--delay-ms 2]";
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks of one connection that may be under way: at 2 ms, far more than loopback can fill.
const CHUNKS_UNDER_WAY: usize = 4096;

struct Options {
    listen: u16,
    to: String,
    delay: Duration,
}

/// Bytes, and when the server may have them.
struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)).map_err(io::Error::other).and_then(|options| serve(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("delay-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut listen, mut to, mut delay) = (None, None, Duration::from_millis(2));
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| USAGE.to_owned())?;
        match word.as_str() {
            "--listen" => listen = value.parse().ok(),
            "--to" => to = Some(value),
            "--delay-ms" => {
                let millis: f64 = value.parse().map_err(|_| USAGE.to_owned())?;
                delay = Duration::try_from_secs_f64(millis / 1000.0).map_err(|error| error.to_string())?;
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    match (listen, to) {
        (Some(listen), Some(to)) => Ok(Options { listen, to, delay }),
        _ => Err(USAGE.to_owned()),
    }
}

fn serve(options: &Options) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.listen))?;
    thread::spawn(|| {
        // Whoever started us holds the other end, and lets go of it however it ends.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    println!("{{\"listen\": {}, \"to\": \"{}\"}}", listener.local_addr()?.port(), options.to);
    for client in listener.incoming() {
        // A server that is down is what the client would meet without us: the connection ends.
        if let Err(error) = client.and_then(|client| forward(&client, options)) {
            eprintln!("delay-proxy: {error}");
        }
    }
    Ok(())
}

fn forward(client: &TcpStream, options: &Options) -> io::Result<()> {
    let server = TcpStream::connect(&options.to)?;
    for stream in [client, &server] {
        stream.set_nodelay(true)?;
    }
    let (chunks, due_chunks) = sync_channel(CHUNKS_UNDER_WAY);
    let (from, to, delay) = (client.try_clone()?, server.try_clone()?, options.delay);
    thread::spawn(move || stamp(from, &chunks, delay));
    thread::spawn(move || deliver(&due_chunks, to));
    let (from, to) = (server, client.try_clone()?);
    thread::spawn(move || send_back(from, to));
    Ok(())
}

/// Reads from the client until it ends.
fn stamp(mut client: TcpStream, chunks: &SyncSender<Chunk>, delay: Duration) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(size @ 1..) = client.read(&mut buffer) {
        let chunk = Chunk { due: Instant::now() + delay, bytes: buffer[..size].to_vec() };
        if chunks.send(chunk).is_err() {
            break;
        }
    }
}

/// Writes to the server what is due.
fn deliver(chunks: &Receiver<Chunk>, mut server: TcpStream) {
    for chunk in chunks {
        thread::sleep(chunk.due.saturating_duration_since(Instant::now()));
        if server.write_all(&chunk.bytes).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

fn send_back(mut server: TcpStream, mut client: TcpStream) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(size @ 1..) = server.read(&mut buffer) {
        if client.write_all(&buffer[..size]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo server behind a proxy.
    fn echo(delay: Duration) -> TcpStream {
        let echo = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = echo.local_addr().expect("an address").to_string();
        thread::spawn(move || {
            let (stream, _) = echo.accept().expect("a connection");
            stream.set_nodelay(true).expect("set");
            send_back(stream.try_clone().expect("cloned"), stream);
        });
        let proxy = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(proxy.local_addr().expect("an address")).expect("connected");
        let (accepted, _) = proxy.accept().expect("a connection");
        forward(&accepted, &Options { listen: 0, to, delay }).expect("forwarded");
        client
    }

    #[test]
    fn the_round_trip_takes_the_delay_once() {
        let mut client = echo(Duration::from_millis(200));
        let began = Instant::now();
        client.write_all(b"x").expect("written");
        client.read_exact(&mut [0]).expect("read");
        assert!((200..400).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    }

    #[test]
    fn many_chunks_are_delayed_together_and_keep_their_order() {
        let mut client = echo(Duration::from_millis(200));
        let began = Instant::now();
        let mut reader = client.try_clone().expect("cloned");
        let writer = thread::spawn(move || {
            for number in 0..2000_u32 {
                client.write_all(&number.to_be_bytes()).expect("written");
            }
        });
        let mut word = [0; 4];
        for number in 0..2000 {
            reader.read_exact(&mut word).expect("read");
            assert_eq!(u32::from_be_bytes(word), number);
        }
        writer.join().expect("ended");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
