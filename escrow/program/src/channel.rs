//! The Channel account: 384 bytes, layout version 1 (docs/flows/payment.md). Offsets are final.

use crate::sys::*;

pub const LEN: u64 = 384;
pub const STATUS: usize = 2;
pub const DEPOSIT: usize = 8;
pub const SETTLED: usize = 16;
pub const PAID: usize = 24;
pub const REFUNDED: usize = 32;
pub const DEADLINE: usize = 40;
pub const OPEN_SLOT: usize = 48;
pub const SALT: usize = 56;
pub const CLUSTER_TAG: usize = 64;
pub const CLOSE_DELAY: usize = 72;
pub const PAYER: usize = 80;
pub const PAYEE: usize = 112;
pub const VOUCHER_KEY: usize = 144;
pub const RELEASE_KEY: usize = 176;
pub const MINT: usize = 208;
pub const PAYEE_DEST: usize = 272;
pub const PAYER_DEST: usize = 304;
pub const OPENED_AT: usize = 368;
pub const VOUCHER_SLOT: usize = 376;

pub const OPEN: u8 = 0;
pub const CLOSING: u8 = 1;
pub const SEALED: u8 = 2;

/// Slots in which an address may still be opened; reclaim waits for their end, so an address never lives twice.
pub const WINDOW: u64 = 3000;

/// The checked data of a Channel account: writable, ours, of this length, kind and version, in SOL.
#[inline(always)]
pub unsafe fn load(program: *const u8, a: Acc) -> Result<*mut u8, u64> {
    if !a.writable() { return Err(NOT_WRITABLE); } // guard:channel-writable
    if !eq32(a.owner(), program) { return Err(BAD_OWNER); } // guard:channel-owner
    let d = a.data();
    if a.len() != LEN || *d != 1 || *d.add(1) != 1 { return Err(BAD_ACCOUNT); } // guard:channel-kind
    if !zero32(d.add(MINT)) { return Err(BAD_ACCOUNT); } // guard:mint, SPL channels do not exist in this form
    Ok(d)
}

#[inline(always)]
pub unsafe fn get(d: *const u8, off: usize) -> u64 { rd(d.add(off)) }
#[inline(always)]
pub unsafe fn set(d: *mut u8, off: usize, v: u64) { wr(d.add(off), v) }

/// Moves lamports out of the Channel; 0 succeeds and does nothing. The destination is a field of the Channel.
#[inline(always)]
pub unsafe fn pay(from: Acc, to: Acc, field: *const u8, amount: u64) -> Result<(), u64> {
    if !eq32(to.key(), field) { return Err(BAD_DESTINATION); } // guard:destination
    if !to.writable() { return Err(NOT_WRITABLE); } // guard:destination-writable
    let have = from.lamports();
    let sum = to.lamports().wrapping_add(amount);
    if have < amount || sum < amount { return Err(OVERFLOW); } // guard:lamports
    from.set_lamports(have - amount);
    to.set_lamports(sum);
    Ok(())
}

/// Pays the payee what is settled and not yet paid.
#[inline(always)]
pub unsafe fn pay_payee(channel: Acc, d: *mut u8, to: Acc) -> Result<u64, u64> {
    let (settled, paid) = (get(d, SETTLED), get(d, PAID));
    if settled < paid { return Err(OVERFLOW); } // guard:paid
    set(d, PAID, settled); // the watermark before the money
    pay(channel, to, d.add(PAYEE_DEST), settled - paid)?;
    Ok(settled - paid)
}
