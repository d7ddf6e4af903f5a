//! Work that may wait: fits, predictions, history reads. They run on threads of their own and take the processor only where
//! live data leave it, since on a machine with two cores a third busy thread would delay every value.

use std::cell::Cell;

use rustix::process::setpriority_process;

/// Of a thread that works in the background: beside one with the usual 0 it gets a tenth of a core.
const NICE: i32 = 10;

thread_local! {
    static STEPPED_BACK: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` on this thread, which steps back for it, and for good: only a privileged process may raise a priority again.
/// So it is called on threads of the blocking pool, never on an async worker.
pub fn in_background<T>(work: impl FnOnce() -> T) -> T {
    if !STEPPED_BACK.replace(true) {
        // On Linux a priority is a thread's, and no process given means the calling one. Where it is refused, work goes on as usual.
        let _ = setpriority_process(None, NICE);
    }
    work()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;

    #[test]
    fn the_thread_steps_back_with_those_that_it_starts_and_no_other() {
        let nice = || getpriority_process(None).unwrap();
        let before = nice();
        let (here, below) = std::thread::spawn(move || {
            in_background(|| (nice(), std::thread::scope(|scope| scope.spawn(nice).join().unwrap())))
        })
        .join()
        .unwrap();
        assert_eq!((here, below, nice()), (NICE.max(before), NICE.max(before), before));
    }
}
