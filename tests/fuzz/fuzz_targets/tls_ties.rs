//! Any evidence of which socket carries which TLS object: bounded, consistent, without panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redtape_core::Direction;
use redtape_core::tls::{Clue, TieRule, Ties};

/// Objects and sockets are few, so that they meet.
const FEW: u8 = 8;

fuzz_target!(|steps: &[u8]| {
    let mut ties = Ties::new(4);
    for step in steps.chunks_exact(6) {
        let [what, object, carrier, plain, record, moved] = *step else { continue };
        let (object, carrier) = (u64::from(object % FEW), u64::from(carrier % FEW));
        match what % 8 {
            0 => _ = ties.certain(object, carrier, TieRule::Call),
            1 => ties.close_object(object),
            2 => _ = ties.close_carrier(carrier),
            3 => _ = ties.contradicted(object),
            _ => {
                let direction = if what & 8 == 0 { Direction::In } else { Direction::Out };
                let [plain, record, moved] = [plain, record, moved].map(u64::from);
                let _ = ties.clue(&Clue {
                    object,
                    carrier,
                    direction,
                    plain,
                    content: 22 + (what >> 4 & 1),
                    record,
                    moved,
                });
            }
        }
        let tied = (0..u64::from(FEW)).filter(|&object| ties.carrier(object).is_some()).count();
        assert!(tied <= 4);
        for carrier in 0..u64::from(FEW) {
            if let Some(object) = ties.object(carrier) {
                assert_eq!(ties.carrier(object), Some(carrier));
            }
        }
    }
});
