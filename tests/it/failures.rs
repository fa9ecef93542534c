//! The failure table: what breaks, and what must happen then. Servers are really stopped: killed,
//! frozen, cut off by a proxy; messages that went in are counted against messages that came out.
//!
//! | breaks | SQLite + memory | PostgreSQL + Redis |
//! |---|---|---|
//! | worker killed mid-send | `crash::killed_while_part_three_of_five_hangs_it_resumes_there`, `crash::killed_before_the_answer_to_part_three_was_read_only_part_three_is_sent_twice`, `crash::killed_under_load_it_loses_nothing_and_doubts_one_part_per_conversation` | [`processes`]: `a_worker_killed_mid_send_is_followed_by_another` |
//! | api killed after commit, before reply | `repeats::a_caller_whose_gateway_died_repeats_with_its_key_and_sends_once` | [`processes`]: `a_caller_whose_api_process_died_repeats_at_another_and_sends_once` |
//! | Redis down | does not apply | [`queue`]: `while_redis_is_down_sends_are_accepted_and_go_out_when_it_is_back`, `while_redis_is_frozen_…` |
//! | Redis emptied | does not apply | [`queue`]: `redis_emptied_in_full_traffic_loses_and_doubles_nothing` |
//! | store down | `full` (it cannot be written: 503) | [`store`]: killed, frozen, cut off; the spool |
//! | a process begins without its store | does not apply | [`without_store`] |
//! | disk full | `full::on_a_full_disk_nothing_is_acknowledged_and_what_was_is_kept` | [`store`]: `a_full_spool_acknowledges_nothing_more` |
//! | platform down, slow, 429 | `limits`, `order::a_broken_channel_slows_no_other` | [`mixed`] |
//! | chat backend down | `backend::after_an_outage_of_the_backend_every_event_comes_once_and_in_order` | [`mixed`] |
//! | clock steps | [`clock`] | [`clock`] tries one process; each of many has the same code |
//! | platform redelivers, reorders, sends garbage | `repeats`, `statuses`, `bad_input` | the store's suite runs over both |
//!
//! [`mixed`] is all of it at once: both directions under load, a random fault every few seconds.

mod clock;
mod ledger;
mod mixed;
mod newer;
mod processes;
mod queue;
pub(crate) mod rig;
mod store;
mod without_store;
