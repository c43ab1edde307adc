//! 8 pay_payee, 9 pay_payer: the two legs, each alone. 10 reclaim: the rent, once both are paid and the address cannot live again.

use crate::channel::*;
use crate::sys::*;

/// Accounts: channel w, payee_dest w.
#[inline(always)]
pub unsafe fn payee(ctx: &Ctx) -> Result<(), u64> {
    let d = load(ctx, 0)?;
    let sent = pay_payee(ctx, d, 1)?;
    event(8, ctx.acc[0].key(), sent, get(d, PAID));
    Ok(())
}

/// Accounts: channel w, payer_dest w.
#[inline(always)]
pub unsafe fn payer(ctx: &Ctx) -> Result<(), u64> {
    let d = load(ctx, 0)?;
    if *d.add(STATUS) != SEALED { return Err(BAD_STATUS); } // guard:sealed
    let rest = get(d, DEPOSIT).wrapping_sub(get(d, SETTLED));
    let due = rest.wrapping_sub(get(d, REFUNDED));
    if due > rest { return Err(OVERFLOW); }
    set(d, REFUNDED, rest);
    pay(ctx, 0, 1, d.add(PAYER_DEST), due)?;
    event(9, ctx.acc[0].key(), due, rest);
    Ok(())
}

/// Accounts: channel w, payer w.
#[inline(always)]
pub unsafe fn reclaim(ctx: &Ctx) -> Result<(), u64> {
    let d = load(ctx, 0)?;
    if *d.add(STATUS) != SEALED { return Err(BAD_STATUS); } // guard:sealed
    let settled = get(d, SETTLED);
    if get(d, PAID) != settled || get(d, REFUNDED) != get(d, DEPOSIT).wrapping_sub(settled) { return Err(LEGS_OPEN); } // guard:legs
    let (slot, _) = clock();
    if slot <= get(d, OPEN_SLOT).wrapping_add(WINDOW) { return Err(TOO_EARLY); } // guard:window
    let c = ctx.acc[0];
    let all = c.lamports();
    pay(ctx, 0, 1, d.add(PAYER), all)?;
    event(10, c.key(), all, 0);
    let mut i = 0;
    while i < LEN as usize { wr(d.add(i), 0); i += 8; }
    wr(c.0.add(80), 0); // length 0
    let o = c.owner();
    wr(o, 0); wr(o.add(8), 0); wr(o.add(16), 0); wr(o.add(24), 0); // owner System
    Ok(())
}
