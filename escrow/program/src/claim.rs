//! 3 claim and 4 record: redeem a voucher, with and without the payout.

use crate::channel::*;
use crate::sys::*;
use crate::voucher::*;

/// Accounts: channel w, instructions sysvar, payee_dest w.
#[inline(always)]
pub unsafe fn claim(program: *const u8, channel: Acc, ix: Acc, payee_dest: Acc) -> Result<(), u64> {
    let d = load(program, channel)?;
    let cumulative = settle(channel, d, ix)?;
    pay_payee(channel, d, payee_dest)?;
    event(3, channel.key(), cumulative, cumulative);
    Ok(())
}

/// Accounts: channel w, instructions sysvar. Works whatever state the payee's account is in.
#[inline(always)]
pub unsafe fn record(program: *const u8, channel: Acc, ix: Acc) -> Result<(), u64> {
    let d = load(program, channel)?;
    let cumulative = settle(channel, d, ix)?;
    event(4, channel.key(), cumulative, get(d, PAID));
    Ok(())
}

/// Raises the watermark to the voucher's amount and returns it.
#[inline(always)]
unsafe fn settle(channel: Acc, d: *mut u8, ix: Acc) -> Result<u64, u64> {
    let v = read(channel, d, ix, VOUCHER_MAGIC, VOUCHER_KEY, true)?;
    if v.amount > get(d, DEPOSIT) { return Err(OVER_DEPOSIT); } // guard:deposit
    if v.amount <= get(d, SETTLED) { return Err(NOT_MONOTONIC); } // guard:monotonic, last: 145 proves that all else was right
    set(d, SETTLED, v.amount);
    set(d, VOUCHER_SLOT, v.slot);
    Ok(v.amount)
}
