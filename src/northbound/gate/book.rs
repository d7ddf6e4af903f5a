//! Who is in: the connections, which of them have a session, and who has to go when there is no room. Only decides; the gate
//! acts.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::northbound::Limits;

/// How long a session may take from its creation to its activation before it counts as one that may never be: after a restart all
/// clients come at once.
const GRACE: Duration = Duration::from_secs(2);

/// A connection as others see it.
#[derive(Debug)]
struct Guest {
    address: IpAddr,
    /// It has a session that was activated, or is a trusted application's.
    settled: bool,
    /// Sessions that it has created and not activated.
    pending: usize,
    /// Since when there are some.
    since: Instant,
    /// Cancelled: it has to go.
    leave: CancellationToken,
    /// Cancelled: it is gone.
    gone: CancellationToken,
}

/// All connections, by number: the oldest first.
#[derive(Debug)]
pub(super) struct Book {
    limits: Limits,
    guests: Mutex<BTreeMap<u64, Guest>>,
}

/// An entry, struck out when dropped.
#[derive(Debug)]
pub(super) struct Entry {
    book: Arc<Book>,
    number: u64,
    pub(super) leave: CancellationToken,
    gone: CancellationToken,
}

impl Book {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, guests: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Guest>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in. Where there is no room, the oldest without a session has to go (OPC 10000-4 §5.6.2 has it so for
    /// secure channels); `None`: all have one.
    pub(super) fn enter(self: &Arc<Self>, number: u64, address: IpAddr, now: Instant) -> Option<Entry> {
        let mut guests = self.lock();
        let there = |guest: &Guest| !guest.leave.is_cancelled();
        let of_address = guests.values().filter(|guest| there(guest) && guest.address == address).count();
        let full = guests.values().filter(|guest| there(guest)).count() >= self.limits.connections;
        let crowded = of_address >= self.limits.connections_per_address;
        if full || crowded {
            let may_go = |guest: &&Guest| there(guest) && !guest.settled && (!crowded || guest.address == address);
            guests.values().find(may_go)?.leave.cancel();
        }
        let (leave, gone) = (CancellationToken::new(), CancellationToken::new());
        let guest = Guest { address, settled: false, pending: 0, since: now, leave: leave.clone(), gone: gone.clone() };
        guests.insert(number, guest);
        drop(guests);
        Some(Entry { book: Arc::clone(self), number, leave, gone })
    }

    /// Who has to go before a session can be created, of which there are `sessions` now: the oldest connection with one that is
    /// not activated (OPC 10000-4 §5.7.2). Gives what is cancelled when it is gone; `None`: there is room, or none can be made.
    fn make_room(&self, own: u64, sessions: usize, now: Instant) -> Option<CancellationToken> {
        let guests = self.lock();
        let is_late = |guest: &&Guest| !guest.leave.is_cancelled() && now.duration_since(guest.since) >= GRACE;
        let pending: usize = guests.values().filter(is_late).map(|guest| guest.pending).sum();
        if pending < self.limits.unactivated_sessions && sessions < self.limits.sessions {
            return None;
        }
        let others =
            guests.iter().filter(|(number, guest)| **number != own && guest.pending > 0).map(|(_, guest)| guest);
        let oldest = others.min_by_key(|guest| guest.since)?;
        oldest.leave.cancel();
        Some(oldest.gone.clone())
    }
}

impl Entry {
    fn change(&self, change: impl FnOnce(&mut Guest)) {
        if let Some(guest) = self.book.lock().get_mut(&self.number) {
            change(guest);
        }
    }

    /// How many of its sessions are not activated.
    pub(super) fn has_pending(&self, count: usize, now: Instant) {
        self.change(|guest| {
            if guest.pending == 0 {
                guest.since = now;
            }
            guest.pending = count;
        });
    }

    /// It is one of those that stay.
    pub(super) fn settle(&self) {
        self.change(|guest| guest.settled = true);
    }

    /// As [`Book::make_room`].
    pub(super) fn make_room(&self, sessions: usize, now: Instant) -> Option<CancellationToken> {
        self.book.make_room(self.number, sessions, now)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.book.lock().remove(&self.number);
        self.gone.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn book(connections: usize, per_address: usize) -> Arc<Book> {
        let limits =
            Limits { connections, connections_per_address: per_address, unactivated_sessions: 2, ..Limits::default() };
        Book::new(limits)
    }

    fn enter(book: &Arc<Book>, number: u64, address: IpAddr) -> Option<Entry> {
        book.enter(number, address, Instant::now())
    }

    #[test]
    fn the_oldest_without_a_session_makes_room() {
        let book = book(3, 3);
        let (first, second, _third) =
            (enter(&book, 1, A).unwrap(), enter(&book, 2, A).unwrap(), enter(&book, 3, B).unwrap());
        first.settle();
        let _fourth = enter(&book, 4, B).unwrap();
        assert!(second.leave.is_cancelled() && !first.leave.is_cancelled());
    }

    #[test]
    fn who_has_a_session_stays_and_the_new_one_is_refused() {
        let book = book(2, 2);
        let both = [enter(&book, 1, A).unwrap(), enter(&book, 2, A).unwrap()];
        both.iter().for_each(Entry::settle);
        assert!(enter(&book, 3, B).is_none());
        drop(both);
        assert!(enter(&book, 4, B).is_some());
    }

    #[test]
    fn an_address_that_has_too_many_makes_room_among_its_own() {
        let book = book(10, 2);
        let other = enter(&book, 1, B).unwrap();
        let own = [enter(&book, 2, A).unwrap(), enter(&book, 3, A).unwrap()];
        let _new = enter(&book, 4, A).unwrap();
        assert!(own[0].leave.is_cancelled() && !other.leave.is_cancelled());
    }

    #[test]
    fn the_oldest_session_that_is_not_activated_goes() {
        let book = book(10, 10);
        let (first, second, third) =
            (enter(&book, 1, A).unwrap(), enter(&book, 2, A).unwrap(), enter(&book, 3, A).unwrap());
        let (early, late) = (Instant::now(), Instant::now() + 2 * GRACE);
        first.has_pending(1, early);
        assert!(third.make_room(5, late).is_none());
        second.has_pending(1, early);
        assert!(third.make_room(5, early + GRACE / 2).is_none(), "they may still be activated");
        let gone = third.make_room(5, late).unwrap();
        assert!(first.leave.is_cancelled() && !second.leave.is_cancelled() && !gone.is_cancelled());
        drop(first);
        assert!(gone.is_cancelled());
        assert!(third.make_room(5, late).is_none(), "one of two");
        assert!(third.make_room(Limits::default().sessions, early).is_some(), "the table is full");
    }
}
