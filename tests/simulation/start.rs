//! How a run begins: at the checkpoint, or where the topic ends, with what the topic has behind that point.

use std::sync::Arc;

use cdc_collector::delivery::Stored;
use cdc_collector::delivery::resume::{Saved, decide};
use cdc_collector::position::Watermark;
use cdc_collector::record::{ShardId, ShardState};
use cdc_collector::sink::lookback::{Behind, Lengths, Window};

use super::datahub::GROUP;
use super::world::{World, position, row_of, server};

impl World {
    /// What the topic and the disk say of where to begin, and what the topic has behind that, as a start reads it.
    pub(super) fn read_back(&mut self) -> (usize, Stored) {
        self.lengths = Lengths::default();
        let shards = self.hub.list();
        let watermark = |text: Arc<str>| serde_json::from_str(&text).unwrap();
        let watermarks = shards
            .iter()
            .filter_map(|shard| self.hub.watermark(&shard.id).map(watermark))
            .collect();
        let (row, written) = self.saved;
        let saved = (row > 0).then(|| Saved {
            watermark: Watermark {
                position: position(row),
                server: server(),
            },
            topic_created_s: Some(1),
            epoch: written,
        });
        let wiped = saved.is_none();
        // Where the topic has records and no watermark, a person says: from the beginning.
        let newest = self.hub.epoch();
        self.epoch = newest.max(written) + 1;
        let begin = decide(saved, watermarks, false, Some(1), newest).expect("one history");
        let begin = begin.map_or(position(0), |watermark| watermark.position);
        let mut stored = Stored::default();
        for shard in &shards {
            let newest = self.hub.newest(&shard.id);
            self.lengths.shows(&shard.id, newest);
            let mut window = Window::new(newest, 0, 4);
            let mut behind = Behind::new(&begin, GROUP);
            while let Some(stretch) = window.stretch() {
                if behind.look(&self.hub.read(&shard.id, stretch)).expect("ids") {
                    break;
                }
            }
            let found = behind.found();
            if wiped && shard.state == ShardState::Closed {
                self.tally.of_parents += u64::try_from(found.behind.len()).unwrap();
            }
            for id in found.late {
                self.tally.seen_again += u64::from(!stored.aside.insert(id));
            }
            for id in found.behind {
                self.tally.seen_again += u64::from(stored.contains(&id));
                let ids = stored.ahead.entry(ShardId::clone(&shard.id)).or_default();
                ids.insert(id);
            }
        }
        (row_of(&begin), stored)
    }
}
