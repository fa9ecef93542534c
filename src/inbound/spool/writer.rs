//! The one thread that changes the files: appends with a shared flush, and forgets what is replayed.

use super::SpoolError;
use super::disk::Medium;
use super::frame::{self, FRAME, HEADER, Marker};
use super::open::{self, Kept, begin, discard, path, position_path, write_position};
use super::state::{Position, Segment, State};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc, oneshot};

/// Records that one flush takes, for the same reasons as in the store.
const GROUP_MAX: usize = 256;
/// A segment is closed at an eighth of `spool.max_bytes`, so that room comes back while the rest is
/// replayed, and at this size at most, which is read into memory when a spool is opened.
const SEGMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;
const SEGMENTS: u64 = 8;

/// A record to keep.
pub(super) struct Append {
    pub(super) payload: Vec<u8>,
    pub(super) channels: Vec<String>,
    pub(super) at: i64,
    pub(super) reply: oneshot::Sender<Result<(), SpoolError>>,
}

/// What the writer does.
pub(super) enum Command {
    /// Keeps a record.
    Append(Append),
    /// Keeps a record apart from the others.
    Aside {
        payload: Vec<u8>,
        reply: oneshot::Sender<Result<(), SpoolError>>,
    },
    /// Forgets records: up to here, and the channels of each.
    Done {
        upto: Position,
        channels: Vec<Vec<String>>,
        reply: oneshot::Sender<()>,
    },
}

/// The file that is appended to.
struct Active {
    number: u64,
    file: File,
    marker: Marker,
    /// What is durable.
    length: u64,
    path: PathBuf,
}

pub(super) struct Writer {
    folder: PathBuf,
    max_bytes: u64,
    segment_bytes: u64,
    medium: Arc<dyn Medium>,
    state: Arc<Mutex<State>>,
    came: Arc<Notify>,
    active: Option<Active>,
    aside: Option<Active>,
}

impl Writer {
    pub(super) fn new(
        folder: &Path,
        max_bytes: u64,
        medium: Arc<dyn Medium>,
        state: Arc<Mutex<State>>,
        came: Arc<Notify>,
    ) -> Self {
        Self {
            folder: folder.to_owned(),
            max_bytes,
            segment_bytes: (max_bytes / SEGMENTS).min(SEGMENT_BYTES_MAX),
            medium,
            state,
            came,
            active: None,
            aside: None,
        }
    }

    /// Takes commands until nobody can give any.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            let mut appends = Vec::new();
            let mut command = Some(first);
            let mut taken = 0;
            while let Some(next) = command {
                match next {
                    Command::Append(append) => appends.push(append),
                    // In the order in which they came.
                    other => {
                        self.append(std::mem::take(&mut appends));
                        self.other(other);
                    }
                }
                taken += 1;
                command = if taken < GROUP_MAX {
                    commands.try_recv().ok()
                } else {
                    None
                };
            }
            self.append(appends);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn other(&mut self, command: Command) {
        // Whoever does not wait for the answer any more does without it.
        match command {
            Command::Append(append) => self.append(vec![append]),
            Command::Aside { payload, reply } => drop(reply.send(self.set_aside(&payload))),
            Command::Done {
                upto,
                channels,
                reply,
            } => {
                self.done(upto, &channels);
                reply.send(()).ok();
            }
        }
    }

    fn append(&mut self, appends: Vec<Append>) {
        let mut group: Vec<Append> = Vec::with_capacity(appends.len());
        let mut bytes = Vec::new();
        for append in appends {
            let size = (FRAME + append.payload.len()) as u64;
            let held = self.state().bytes() + bytes.len() as u64;
            if held + size > self.max_bytes {
                let full = SpoolError::Full {
                    bytes: held,
                    most: self.max_bytes,
                };
                self.refuse(vec![append], &full);
                continue;
            }
            let marker = match self.active() {
                Ok(active) => active.marker,
                Err(error) => {
                    self.refuse(vec![append], &error);
                    continue;
                }
            };
            frame::push(&mut bytes, marker, &append.payload);
            group.push(append);
            let length = self.active.as_ref().map_or(0, |a| a.length) + bytes.len() as u64;
            if length >= self.segment_bytes {
                self.write(std::mem::take(&mut group), &std::mem::take(&mut bytes));
                self.active = None;
            }
        }
        self.write(group, &bytes);
    }

    /// The file to append to; begins one when there is none.
    fn active(&mut self) -> Result<&mut Active, SpoolError> {
        if self.active.is_none() {
            self.active = Some(self.begin(open::SEGMENT)?);
        }
        self.active.as_mut().ok_or(SpoolError::Ended)
    }

    fn begin(&mut self, extension: &str) -> Result<Active, SpoolError> {
        let number = {
            let mut state = self.state();
            // Used up even when it fails: a half-made file may be in the way.
            state.next_number += 1;
            state.next_number - 1
        };
        let path = path(&self.folder, number, extension);
        let (file, marker) = begin(&self.folder, &path).inspect_err(|_| {
            // On a full disk: nothing is in it.
            std::fs::remove_file(&path).ok();
        })?;
        Ok(Active {
            number,
            file,
            marker,
            length: HEADER as u64,
            path,
        })
    }

    /// Writes records and flushes them together.
    fn write(&mut self, group: Vec<Append>, bytes: &[u8]) {
        let Some(active) = self.active.as_mut().filter(|_| !group.is_empty()) else {
            return;
        };
        if let Err(error) = write_durably(self.medium.as_ref(), active, bytes) {
            // What a failed flush left is unknown: nothing is appended behind it.
            let empty = active.length == HEADER as u64;
            if empty {
                std::fs::remove_file(&active.path).ok();
            }
            self.active = None;
            self.refuse(group, &error);
            return;
        }
        let segment = Segment {
            marker: active.marker,
            length: active.length,
            damaged: false,
        };
        let number = active.number;
        {
            let mut state = self.state();
            state.segments.insert(number, segment);
            state.refused = None;
            for append in &group {
                state.came(&append.channels, append.at);
            }
        }
        self.came.notify_one();
        for append in group {
            drop(append.reply.send(Ok(())));
        }
    }

    fn refuse(&self, group: Vec<Append>, error: &SpoolError) {
        self.state().refused = Some(error.to_string());
        for append in group {
            drop(append.reply.send(Err(error.clone())));
        }
    }

    /// Beyond `max_bytes` if need be: the same bytes leave the spool.
    fn set_aside(&mut self, payload: &[u8]) -> Result<(), SpoolError> {
        let mut aside = match self.aside.take() {
            Some(aside) => aside,
            None => self.begin(open::ASIDE)?,
        };
        let mut bytes = Vec::new();
        frame::push(&mut bytes, aside.marker, payload);
        write_durably(self.medium.as_ref(), &mut aside, &bytes)?;
        let mut state = self.state();
        state.aside += 1;
        state.aside_bytes += bytes.len() as u64;
        drop(state);
        self.aside = Some(aside).filter(|a| a.length < self.segment_bytes);
        Ok(())
    }

    fn done(&mut self, upto: Position, channels: &[Vec<String>]) {
        let (replayed, kept) = {
            let mut state = self.state();
            state.position = state.position.max(upto);
            for of_record in channels {
                state.went(of_record);
            }
            let position = state.position;
            let empty = state.next(position).is_none();
            let passed = |number: &u64| empty || *number < position.segment;
            let replayed: Vec<(u64, Segment)> = state
                .segments
                .iter()
                .filter(|(number, _)| passed(number))
                .map(|(number, segment)| (*number, *segment))
                .collect();
            for (number, segment) in &replayed {
                state.segments.remove(number);
                if segment.damaged {
                    state.damaged_bytes += segment.length;
                }
            }
            let kept = state.segments.get(&position.segment).map(|segment| Kept {
                segment: position.segment,
                marker: segment.marker,
                offset: position.offset,
            });
            (replayed, kept)
        };
        for (number, segment) in replayed {
            if self.active.as_ref().is_some_and(|a| a.number == number) {
                self.active = None;
            }
            // One that stays is replayed again at the next start, which changes nothing.
            if let Err(error) = discard(&self.folder, number, segment.damaged) {
                tracing::warn!(%error, "a replayed segment of the spool stays");
            }
        }
        let written = match kept {
            Some(kept) => write_position(&self.folder, kept),
            None => match std::fs::remove_file(position_path(&self.folder)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            },
        };
        if let Err(error) = written {
            tracing::warn!(%error, "the spool's position is not kept: a restart would replay more");
        }
    }
}

/// Appends and flushes. On failure the file is cut back to what was durable, as far as that works:
/// else the next opening does it.
fn write_durably(medium: &dyn Medium, active: &mut Active, bytes: &[u8]) -> Result<(), SpoolError> {
    let written = medium
        .write(&mut active.file, bytes)
        .and_then(|()| medium.flush(&active.file));
    match written {
        Ok(()) => {
            active.length += bytes.len() as u64;
            Ok(())
        }
        Err(error) => {
            active.file.set_len(active.length).ok();
            Err(SpoolError::disk(&active.path, &error))
        }
    }
}
