//! 5 request_close, 6 release, 7 seal, 11 consent: how a Channel ends.

use crate::channel::*;
use crate::sys::*;
use crate::voucher::*;

/// The signer is the payer or the voucher key: the money goes to the payer either way.
#[inline(always)]
unsafe fn authority(who: Acc, d: *const u8) -> Result<(), u64> {
    if !who.signer() || !(eq32(who.key(), d.add(PAYER)) || eq32(who.key(), d.add(VOUCHER_KEY))) { return Err(BAD_SIGNER); } // guard:authority
    Ok(())
}

/// Accounts: authority s, channel w.
#[inline(always)]
pub unsafe fn request_close(program: *const u8, who: Acc, channel: Acc) -> Result<(), u64> {
    let d = load(program, channel)?;
    authority(who, d)?;
    if *d.add(STATUS) != OPEN { return Err(BAD_STATUS); } // guard:open
    let deadline = clock().1.wrapping_add((get(d, CLOSE_DELAY) & 0xFFFF_FFFF) as i64);
    *d.add(STATUS) = CLOSING;
    set(d, DEADLINE, deadline as u64);
    event(5, channel.key(), deadline as u64, get(d, SETTLED));
    Ok(())
}

/// Accounts: authority s, channel w, instructions sysvar.
#[inline(always)]
pub unsafe fn release(program: *const u8, who: Acc, channel: Acc, ix: Acc) -> Result<(), u64> {
    let d = load(program, channel)?;
    authority(who, d)?;
    if zero32(d.add(RELEASE_KEY)) { return Err(WRONG_SIGNER); } // guard:no-release
    let last = read(channel, d, ix, RELEASE_MAGIC, RELEASE_KEY, false)?.amount;
    if last > get(d, DEPOSIT) { return Err(OVER_DEPOSIT); } // guard:deposit
    if last < get(d, SETTLED) { return Err(NOT_MONOTONIC); } // guard:settled
    set(d, SETTLED, last);
    *d.add(STATUS) = SEALED;
    event(6, channel.key(), last, get(d, DEPOSIT));
    Ok(())
}

/// Accounts: channel w. Anybody may call it.
#[inline(always)]
pub unsafe fn seal(program: *const u8, channel: Acc) -> Result<(), u64> {
    let d = load(program, channel)?;
    if *d.add(STATUS) != CLOSING { return Err(BAD_STATUS); } // guard:closing
    if clock().1 < get(d, DEADLINE) as i64 { return Err(TOO_EARLY); } // guard:deadline
    *d.add(STATUS) = SEALED;
    event(7, channel.key(), get(d, SETTLED), get(d, DEPOSIT));
    Ok(())
}

/// Accounts: channel w, instructions sysvar. Anybody may bring the payee's Release, which must not ask for more than is settled: the payee ends
/// with what vouchers have proven, forgoes the rest, and the payer gets his money back without having to be there.
#[inline(always)]
pub unsafe fn consent(program: *const u8, channel: Acc, ix: Acc) -> Result<(), u64> {
    let d = load(program, channel)?;
    if zero32(d.add(RELEASE_KEY)) { return Err(WRONG_SIGNER); } // guard:no-release
    let last = read(channel, d, ix, RELEASE_MAGIC, RELEASE_KEY, false)?.amount;
    if last > get(d, SETTLED) { return Err(OVER_SETTLED); } // guard:over-settled
    *d.add(STATUS) = SEALED;
    event(11, channel.key(), get(d, SETTLED), get(d, DEPOSIT));
    Ok(())
}
