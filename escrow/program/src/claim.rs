//! 3 claim and 4 record: redeem a voucher, with and without the payout. Accounts: channel w, instructions sysvar, (claim) payee_dest w.

use crate::channel::*;
use crate::sys::*;
use crate::voucher::*;

#[inline(always)]
pub unsafe fn claim(ctx: &Ctx, pays: bool) -> Result<(), u64> {
    let d = load(ctx, 0)?;
    let cumulative = read(ctx, d, 1, VOUCHER_MAGIC, VOUCHER_KEY, true)?;
    if cumulative > get(d, DEPOSIT) { return Err(OVER_DEPOSIT); } // guard:deposit
    if cumulative <= get(d, SETTLED) { return Err(NOT_MONOTONIC); } // guard:monotonic, last: 145 proves that all else was right
    set(d, SETTLED, cumulative);
    set(d, VOUCHER_SLOT, clock().0);
    if pays {
        pay_payee(ctx, d, 2)?;
    }
    event(if pays { 3 } else { 4 }, ctx.acc[0].key(), cumulative, get(d, PAID));
    Ok(())
}
