//! A network that can go silent: a TCP proxy that on demand stops to forward, without closing anything.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinSet,
};

pub(crate) struct Proxy {
    pub(crate) port: u16,
    forwarding: Arc<watch::Sender<bool>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let forwarding = Arc::new(watch::Sender::new(true));
        let mut tasks = JoinSet::new();
        let gate = forwarding.clone();
        tasks.spawn(async move {
            let mut pumps = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                pumps.spawn(pump(from_client, to_server, gate.subscribe()));
                pumps.spawn(pump(from_server, to_client, gate.subscribe()));
            }
        });
        Self { port, forwarding, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("opc.tcp://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn forward(&self, forward: bool) {
        self.forwarding.send_replace(forward);
    }
}

// What came while the gate is shut is swallowed, and that connection never speaks again: a half-open link.
async fn pump(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, gate: watch::Receiver<bool>) {
    let mut buffer = vec![0; 1 << 16];
    let mut dead = false;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        dead |= !*gate.borrow();
        if !dead && to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    if dead {
        std::future::pending::<()>().await; // keeps the other side's socket open
    }
}
