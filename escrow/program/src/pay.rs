//! 8 pay_payee, 9 pay_payer: the two legs, each alone. 10 reclaim: the rent, once both are paid and the address cannot live again.

use crate::channel::*;
use crate::sys::*;

/// Accounts: channel w, payee_dest w.
#[inline(always)]
pub unsafe fn payee(program: *const u8, channel: Acc, payee_dest: Acc) -> Result<(), u64> {
    let d = load(program, channel)?;
    let sent = pay_payee(channel, d, payee_dest)?;
    event(8, channel.key(), sent, get(d, PAID));
    Ok(())
}

/// Accounts: channel w, payer_dest w.
#[inline(always)]
pub unsafe fn payer(program: *const u8, channel: Acc, payer_dest: Acc) -> Result<(), u64> {
    let d = load(program, channel)?;
    if *d.add(STATUS) != SEALED { return Err(BAD_STATUS); } // guard:sealed
    let (deposit, settled, refunded) = (get(d, DEPOSIT), get(d, SETTLED), get(d, REFUNDED));
    if settled > deposit || refunded > deposit - settled { return Err(OVERFLOW); } // guard:rest
    let rest = deposit - settled;
    let due = rest - refunded;
    set(d, REFUNDED, rest);
    pay(channel, payer_dest, d.add(PAYER_DEST), due)?;
    event(9, channel.key(), due, rest);
    Ok(())
}

/// Accounts: channel w, payer w.
#[inline(always)]
pub unsafe fn reclaim(program: *const u8, channel: Acc, payer: Acc) -> Result<(), u64> {
    let d = load(program, channel)?;
    if *d.add(STATUS) != SEALED { return Err(BAD_STATUS); } // guard:sealed
    let settled = get(d, SETTLED);
    if get(d, PAID) != settled || get(d, REFUNDED) != get(d, DEPOSIT).wrapping_sub(settled) { return Err(LEGS_OPEN); } // guard:legs
    let (slot, _) = clock();
    if slot <= get(d, OPEN_SLOT).wrapping_add(WINDOW) { return Err(TOO_EARLY); } // guard:window
    let all = channel.lamports();
    pay(channel, payer, d.add(PAYER), all)?;
    event(10, channel.key(), all, 0);
    let mut i = 0;
    while i < LEN as usize { wr(d.add(i), 0); i += 8; }
    wr(channel.0.add(80), 0); // length 0
    let o = channel.owner();
    wr(o, 0); wr(o.add(8), 0); wr(o.add(16), 0); wr(o.add(24), 0); // owner System
    Ok(())
}
