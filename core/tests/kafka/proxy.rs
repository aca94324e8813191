//! A TCP proxy in front of a broker that understands just enough of Kafka's frames to lose some answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

const FETCH: i16 = 1;

#[derive(Clone)]
pub struct Proxy(Arc<State>);

struct State {
    port: u16,
    broker: Mutex<Option<u16>>,
    loses: Mutex<Loses>,
    lost: AtomicUsize,
}

/// Whose answers to fetch requests are lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loses {
    Nothing,
    /// Those of the connection that gets the next one.
    NextConnection,
    Connection(usize),
}

impl Proxy {
    /// Listens; connections wait until the broker is known.
    pub async fn listen() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let state = Arc::new(State {
            port: listener.local_addr().expect("bound").port(),
            broker: Mutex::new(None),
            loses: Mutex::new(Loses::Nothing),
            lost: AtomicUsize::new(0),
        });
        let accepting = state.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((client, _)) = listener.accept().await else { return };
                tokio::spawn(pass(accepting.clone(), client, connection));
            }
        });
        Self(state)
    }

    pub fn port(&self) -> String {
        self.0.port.to_string()
    }

    pub fn forward_to(&self, broker: u16) {
        *self.0.broker.lock() = Some(broker);
    }

    /// From now on the connection that gets the next answer to a fetch request gets neither that one nor any other.
    pub fn lose_fetches(&self) {
        *self.0.loses.lock() = Loses::NextConnection;
    }

    pub fn lost(&self) -> usize {
        self.0.lost.load(Ordering::Acquire)
    }
}

async fn pass(state: Arc<State>, client: TcpStream, connection: usize) {
    let Some(port) = *state.broker.lock() else { return };
    let Ok(broker) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let asked = Arc::new(Mutex::new(HashMap::new()));
    let requests = tokio::spawn(pass_requests(from_client, to_broker, asked.clone()));
    pass_answers(&state, connection, from_broker, to_client, &asked).await;
    requests.abort();
}

/// The kind of each request that is out, by its correlation id.
type Asked = Arc<Mutex<HashMap<[u8; 4], i16>>>;

async fn frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut size = [0; 4];
    from.read_exact(&mut size).await.ok()?;
    let mut frame = size.to_vec();
    frame.resize(4 + u32::from_be_bytes(size) as usize, 0);
    from.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame)
}

async fn pass_requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: Asked) {
    while let Some(frame) = frame(&mut from).await {
        // Size, kind, version, correlation id.
        let id = frame[8..12].try_into().expect("four bytes");
        asked.lock().insert(id, i16::from_be_bytes([frame[4], frame[5]]));
        if to.write_all(&frame).await.is_err() {
            return;
        }
    }
}

async fn pass_answers(
    state: &State,
    connection: usize,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    asked: &Asked,
) {
    while let Some(frame) = frame(&mut from).await {
        let id: [u8; 4] = frame[4..8].try_into().expect("four bytes");
        let kind = asked.lock().remove(&id);
        if kind == Some(FETCH) && is_lost(state, connection) {
            continue;
        }
        if to.write_all(&frame).await.is_err() {
            return;
        }
    }
}

fn is_lost(state: &State, connection: usize) -> bool {
    let mut loses = state.loses.lock();
    if *loses == Loses::NextConnection {
        *loses = Loses::Connection(connection);
    }
    let lost = *loses == Loses::Connection(connection);
    state.lost.fetch_add(usize::from(lost), Ordering::AcqRel);
    lost
}
