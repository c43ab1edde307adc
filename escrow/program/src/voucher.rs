//! Signed messages of 50 bytes and how the chain checks them: the ed25519 instruction right before the current one, in one exact form.

use crate::channel::*;
use crate::sys::*;

/// Sysvar1nstructions1111111111111111111111111
static IX_KEY: [u8; 32] = [6, 167, 213, 23, 24, 123, 209, 102, 53, 218, 212, 4, 85, 253, 194, 192, 193, 36, 198, 143, 33, 86, 117, 165, 219, 186, 203, 95, 8, 0, 0, 0];
/// Ed25519SigVerify111111111111111111111111111
static ED25519: [u8; 32] = [3, 125, 70, 214, 124, 147, 251, 190, 18, 249, 66, 143, 131, 141, 64, 255, 5, 112, 116, 73, 39, 244, 138, 100, 252, 202, 112, 68, 128, 0, 0, 0];

pub const VOUCHER_MAGIC: u16 = 0x0156;
pub const RELEASE_MAGIC: u16 = 0x0152;

#[inline(always)]
unsafe fn u16at(p: *const u8) -> u64 { (p as *const u16).read_unaligned() as u64 }

/// The 162 data bytes of the ed25519 instruction right before this one.
#[inline(always)]
unsafe fn previous(ix: Acc) -> Result<*const u8, u64> {
    if !eq32(ix.key(), IX_KEY.as_ptr()) { return Err(BAD_SYSVAR); } // guard:sysvar
    let (d, len) = (ix.data() as *const u8, ix.len());
    if len < 4 { return Err(BAD_SYSVAR); }
    let current = u16at(d.add(len as usize - 2));
    if current < 1 { return Err(NO_SIGNATURE); } // guard:first-instruction
    // {count u16, offsets u16…}; an instruction: {accounts u16, metas 33 each, program 32, data length u16, data}
    let p = d.add(u16at(d.add(current as usize * 2)) as usize);
    if u16at(p) != 0 { return Err(NO_SIGNATURE); } // guard:accounts
    if !eq32(p.add(2), ED25519.as_ptr()) { return Err(NO_SIGNATURE); } // guard:precompile
    if u16at(p.add(34)) != 162 { return Err(MALFORMED_SIGNATURE); } // guard:length
    let b = p.add(36);
    // One signature, offsets 48/16/112, length 50, all three instruction indexes 0xFFFF: unchecked ones let forgeries pass.
    if rd(b) != HEAD0 || rd(b.add(8)) != HEAD1 { return Err(MALFORMED_SIGNATURE); } // guard:offsets
    Ok(b)
}

const HEAD0: u64 = u64::from_le_bytes([0x01, 0x00, 0x30, 0x00, 0xFF, 0xFF, 0x10, 0x00]);
const HEAD1: u64 = u64::from_le_bytes([0xFF, 0xFF, 0x70, 0x00, 0x32, 0x00, 0xFF, 0xFF]);

/// A message that passed all checks which need no amount. slot is 0 when the clock was not read: no expiry, no clock.
pub struct Message { pub amount: u64, pub slot: u64 }

/// Checks magic, channel, key, status and expiry. `forever` allows expires_at 0.
#[inline(always)]
pub unsafe fn read(channel: Acc, d: *const u8, ix: Acc, magic: u16, key: usize, forever: bool) -> Result<Message, u64> {
    let b = previous(ix)?;
    let m = b.add(112);
    if u16at(m) as u16 != magic { return Err(BAD_MAGIC); } // guard:magic
    if !eq32(m.add(2), channel.key()) { return Err(WRONG_CHANNEL); } // guard:channel
    if !eq32(b.add(16), d.add(key)) { return Err(WRONG_SIGNER); } // guard:key
    if *d.add(STATUS) == SEALED { return Err(BAD_STATUS); } // guard:sealed
    let expires = rd(m.add(42)) as i64;
    let mut slot = 0;
    if expires == 0 {
        if !forever { return Err(EXPIRED); } // guard:release-expiry
    } else {
        let now;
        (slot, now) = clock();
        if expires < 0 || now >= expires { return Err(EXPIRED); } // guard:expiry
    }
    Ok(Message { amount: rd(m.add(34)), slot })
}
