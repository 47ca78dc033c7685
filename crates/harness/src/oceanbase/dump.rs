//! A dump: what it sends, and what goes wrong on the way.

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::World;
use super::event::{self, ARTIFICIAL, IN_USE};
use super::instance::{Instance, START};
use super::packet::{Dribble, Refusal, Wire};
use super::request::{NON_BLOCK, Request, Wishes, start};
use super::script::{Generation, Script};
use super::tenant::{Progress, State};

/// A dump under way.
struct Dump {
    id: u64,
    instance: usize,
    kills: u64,
    file: u32,
    offset: usize,
    /// What it sends was begun in the middle of the file's events.
    stuck: bool,
    has: Vec<(u64, u64)>,
    skipping: bool,
    /// Whether what is sent belongs to a transaction that the client has.
    had: bool,
    last_timestamp: u32,
    /// Whether heartbeats carry a checksum.
    sums: bool,
    /// The dump ends with this file.
    only_file: bool,
    over: bool,
    /// Events sent so far, heartbeats included.
    sent: u32,
    cut_after: Option<u32>,
    stall_after: Option<u32>,
}

impl Dump {
    /// What comes next: events, and a heartbeat behind them. Empty if there is nothing.
    fn batch(&mut self, state: &mut State) -> Vec<Vec<u8>> {
        let script = state.script.clone();
        let Some(instance) = state.instances.get(self.instance) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        if script.leak {
            self.skipping = false;
        }
        if script.holds || self.stuck || self.over {
            return out;
        }
        let (mut events, mut leaked) = (0, 0);
        while events < script.batch {
            let Some(file) = instance.file(self.file) else {
                break;
            };
            // The file may have been cut behind the start of what was sent already.
            self.offset = self.offset.min(file.rotation.unwrap_or(self.offset));
            let Some(stored) = file.event(self.offset) else {
                break;
            };
            events += 1;
            self.offset += stored.len();
            let kind = event::kind_of(stored);
            self.last_timestamp = event::timestamp_of(stored);
            if kind == event::ROTATE {
                out.push(stored.to_vec());
                if self.only_file {
                    self.over = true;
                    break;
                }
                self.file += 1;
                self.offset = START;
                self.skipping = false;
                if let Some(next) = instance.file(self.file) {
                    out.push(fake_rotate(instance, &next.name(), START as u64, false, &script));
                }
                continue;
            }
            if kind == event::GTID {
                let gno = event::gno_of(stored);
                self.had = self.has.iter().any(|(first, end)| (*first..*end).contains(&gno));
                self.skipping = self.had;
            }
            if self.skipping && !matches!(kind, event::FORMAT_DESCRIPTION | event::PREVIOUS_GTIDS) {
                continue;
            }
            leaked += u64::from(self.had && kind == event::XID);
            out.push(stored.to_vec());
            if script.heartbeat_everywhere {
                out.push(self.heartbeat(instance, &script));
            }
        }
        if !out.is_empty() {
            out.push(self.heartbeat(instance, &script));
        }
        state.leaked += leaked;
        out
    }

    fn heartbeat(&self, instance: &Instance, script: &Script) -> Vec<u8> {
        let file = instance.file(self.file);
        let name = file.map(|file| file.name()).unwrap_or_default();
        let position = file.map_or(0, |file| file.position(self.offset));
        let path = match script.generation {
            Generation::V2 => format!("/home/oblogproxy/run/tenant/data/{name}"),
            Generation::V4 => format!("./data/{name}"),
        };
        let stamp = instance.made_up(event::HEARTBEAT, self.last_timestamp, IN_USE, self.sums, script);
        stamp.event(path.as_bytes(), position)
    }
}

fn fake_rotate(instance: &Instance, name: &str, position: u64, sum: bool, script: &Script) -> Vec<u8> {
    let stamp = instance.made_up(event::ROTATE, 0, ARTIFICIAL, sum, script);
    stamp.event(&event::rotate(name, position), 0)
}

/// Serves a dump until it ends. The connection is of no use afterwards.
pub(super) async fn serve(
    world: &World,
    wire: &mut Wire,
    instance: usize,
    request: &Request,
    wishes: &Wishes,
) -> io::Result<()> {
    let mut changed = world.changed.subscribe();
    let begun = match begin(world, instance, request, wishes) {
        Ok(begun) => begun,
        Err(Some(refusal)) => return wire.error(&refusal).await,
        Err(None) => return Ok(()),
    };
    let (mut dump, introduction) = begun;
    let (id, kills) = (dump.id, dump.kills);
    let result = tokio::select! {
        result = run(world, wire, &mut dump, introduction, wishes, &mut changed) => result,
        () = ended(world, instance, kills) => Ok(()),
    };
    world.state().dumps.remove(&id);
    world.notify();
    result
}

fn dump_kills(world: &World, instance: usize) -> u64 {
    world.state().instances.get(instance).map_or(0, |i| i.kills)
}

/// Waits until the dumps of an instance are ended.
async fn ended(world: &World, instance: usize, kills: u64) {
    let mut changed = world.changed.subscribe();
    while dump_kills(world, instance) == kills {
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// Opens a dump, with what every dump begins with; `Err(None)` hangs up without a word.
fn begin(
    world: &World,
    at: usize,
    request: &Request,
    wishes: &Wishes,
) -> Result<(Dump, Vec<Vec<u8>>), Option<Refusal>> {
    let mut state = world.state();
    state.dumps_requested += 1;
    if state.script.closed_dumps > 0 {
        state.script.closed_dumps -= 1;
        return Err(None);
    }
    if let Some(refusal) = state.script.refusals.pop_front() {
        return Err(Some(refusal));
    }
    if state.dumps.len() >= state.script.max_dumps {
        let text = "Insufficient binlog instance resources, the number of subscribers has reached its limit";
        return Err(Some(Refusal::fatal(text)));
    }
    let cut_after = match &mut state.script.cuts {
        Some(cuts) if cuts.times > 0 => {
            cuts.times -= 1;
            let within = cuts.within;
            Some(state.below(within))
        }
        Some(_) | None => None,
    };
    let stall_after = match &mut state.script.stall {
        Some(stall) if stall.times > 0 => {
            stall.times -= 1;
            Some(stall.after)
        }
        Some(_) | None => None,
    };
    let id = state.id();
    let script = state.script.clone();
    let uuid = state.uuid;
    let Some(instance) = state.instances.get(at) else {
        return Err(None);
    };
    let start = start(instance, &uuid, request)?;
    let Some(file) = instance.file(start.file) else {
        return Err(None);
    };
    // Unset means CRC32; any other word than that means none.
    let wants = wishes.checksum.as_deref();
    let sum = script.sums && wants.is_none_or(|word| word.eq_ignore_ascii_case("CRC32"));
    let position = file.position(start.offset);
    let mut introduction = vec![fake_rotate(instance, &file.name(), position, sum, &script)];
    let mut offset = START;
    if start.offset > START {
        // The file's first event, with its stored position.
        if let Some(format) = file.event(START) {
            introduction.push(format.to_vec());
        }
        offset = start.offset;
    }
    let dump = Dump {
        id,
        instance: at,
        kills: instance.kills,
        file: start.file,
        offset,
        stuck: start.stuck,
        has: start.has,
        skipping: false,
        had: false,
        last_timestamp: 0,
        sums: script.sums,
        // Compared by equality: together with any other flag it says nothing.
        only_file: request.flags == NON_BLOCK || script.ends_with_file,
        over: false,
        sent: 0,
        cut_after,
        stall_after,
    };
    let progress = dump.progress();
    state.dumps.insert(id, progress);
    Ok((dump, introduction))
}

impl Dump {
    fn progress(&self) -> Progress {
        Progress {
            instance: self.instance,
            file: self.file,
            offset: self.offset,
        }
    }
}

async fn run(
    world: &World,
    wire: &mut Wire,
    dump: &mut Dump,
    introduction: Vec<Vec<u8>>,
    wishes: &Wishes,
    changed: &mut watch::Receiver<u64>,
) -> io::Result<()> {
    let generation = world.state().script.generation;
    let idle = match (wishes.heartbeat_ns, generation) {
        // Unset: ten a second, or as many as there can be.
        (None, Generation::V4) => Some(Duration::from_millis(100)),
        (None | Some(0), Generation::V2) => Some(Duration::from_millis(1)),
        (Some(0), Generation::V4) => None,
        // To microseconds, by whole division.
        (Some(ns), _) => Some(Duration::from_micros(ns / 1_000)),
    };
    let mut batch = introduction;
    if !world.state().script.holds || dump.offset > START {
        send(world, wire, dump, &batch).await?;
    } else {
        // The introduction ends with what the file follows on.
        batch.extend(introduction_of(world, dump));
        send(world, wire, dump, &batch).await?;
    }
    loop {
        changed.mark_unchanged();
        let before = (dump.file, dump.offset);
        let batch = {
            let mut state = world.state();
            let batch = dump.batch(&mut state);
            if state
                .instances
                .get(dump.instance)
                .is_none_or(|i| i.kills != dump.kills)
            {
                return Ok(());
            }
            batch
        };
        if !batch.is_empty() {
            send(world, wire, dump, &batch).await?;
            world.state().dumps.insert(dump.id, dump.progress());
            world.notify();
            if dump.over {
                return wire.eof().await;
            }
            continue;
        }
        if (dump.file, dump.offset) != before {
            // All of it was left out; nothing takes its place.
            world.state().dumps.insert(dump.id, dump.progress());
            world.notify();
            continue;
        }
        let beat = |dump: &Dump| {
            let state = world.state();
            let script = state.script.clone();
            let instance = state.instances.get(dump.instance)?;
            Some(dump.heartbeat(instance, &script))
        };
        if dump.stuck {
            // Nothing ever takes it to the next file, and nothing holds its heartbeats back.
            if let Some(beat) = beat(dump) {
                send(world, wire, dump, &[beat]).await?;
            }
            tokio::task::yield_now().await;
            continue;
        }
        let Some(idle) = idle else {
            tokio::select! {
                _ = changed.changed() => {}
                // A client that reads a dump only ever speaks to say goodbye.
                _ = wire.spoken_to() => return Ok(()),
            }
            continue;
        };
        let news = tokio::select! {
            news = timeout_at(Instant::now() + idle, changed.changed()) => news,
            _ = wire.spoken_to() => return Ok(()),
        };
        match news {
            Ok(Ok(())) => {}
            Ok(Err(_closed)) => return Ok(()),
            Err(_elapsed) => {
                if let Some(beat) = beat(dump) {
                    send(world, wire, dump, &[beat]).await?;
                }
            }
        }
    }
}

/// The first two events of a file, for a dump that is to send nothing else.
fn introduction_of(world: &World, dump: &mut Dump) -> Vec<Vec<u8>> {
    let state = world.state();
    let file = state.instances.get(dump.instance).and_then(|i| i.file(dump.file));
    let mut events = Vec::new();
    for _ in 0..2 {
        if let Some(stored) = file.and_then(|file| file.event(dump.offset)) {
            dump.offset += stored.len();
            events.push(stored.to_vec());
        }
    }
    events
}

/// Sends events, with what the script has happen to them.
async fn send(world: &World, wire: &mut Wire, dump: &mut Dump, events: &[Vec<u8>]) -> io::Result<()> {
    let (dribble, mut damage) = {
        let state = world.state();
        (state.script.dribble, state.script.damage)
    };
    let dribble = dribble.map(|(bytes, pause)| Dribble { bytes, pause });
    let mut out = Vec::new();
    for stored in events {
        if dump.stall_after == Some(dump.sent) {
            wire.send_raw(&out, dribble).await?;
            return wire.spoken_to().await;
        }
        let mut payload = Vec::with_capacity(1 + stored.len());
        payload.push(0);
        payload.extend_from_slice(stored);
        if let Some(hit) = damage
            .as_mut()
            .filter(|d| d.times > 0 && d.kind == event::kind_of(stored))
        {
            hit.times -= 1;
            world.state().script.damage = Some(*hit);
            // The last byte in front of the checksum.
            if let Some(byte) = payload.iter_mut().rev().nth(4) {
                *byte ^= 0x01;
            }
        }
        let before = out.len();
        wire.frame(&payload, &mut out);
        if dump.cut_after == Some(dump.sent) {
            let packet = out.len() - before;
            let part = world.state().below(u32::try_from(packet).unwrap_or(u32::MAX));
            out.truncate(before + part as usize);
            wire.send_raw(&out, dribble).await?;
            return Err(io::Error::other("the script ends this connection"));
        }
        dump.sent += 1;
        if out.len() > 1 << 20 {
            wire.send_raw(&out, dribble).await?;
            out.clear();
        }
    }
    wire.send_raw(&out, dribble).await
}
