//! SMTP submission as `smtp.office365.com:587` speaks it: exchange.md section 6.

mod auth;
mod delivery;
mod envelope;
mod link;
mod message;
pub(crate) mod replies;
mod session;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::state::State;
use crate::wire::Wire;

/// Serves for ever.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(session::run(Wire::new(stream), Arc::clone(&state)));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
