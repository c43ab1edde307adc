//! 2 top_up: the payer raises the deposit of an open Channel to a total, so that a repeat does nothing. Accounts: payer sw, channel w, System.

use crate::channel::*;
use crate::sys::*;

#[inline(always)]
pub unsafe fn top_up(program: *const u8, x: *const u8, payer: Acc, channel: Acc, system: Acc) -> Result<(), u64> {
    let total = rd(x);
    let d = load(program, channel)?;
    if !payer.signer() || !eq32(payer.key(), d.add(PAYER)) { return Err(BAD_SIGNER); } // guard:payer
    if !zero32(system.key()) { return Err(BAD_PROGRAM); } // guard:system
    if *d.add(STATUS) != OPEN { return Err(BAD_STATUS); } // guard:open
    let deposit = get(d, DEPOSIT);
    if total <= deposit { return Err(NOT_MONOTONIC); } // guard:total, a second landing ends here
    let amount = total - deposit;
    let before = channel.lamports();
    let mut data = core::mem::MaybeUninit::<[u8; 16]>::uninit();
    let p = data.as_mut_ptr() as *mut u8;
    (p as *mut u32).write_unaligned(2);
    wr(p.add(4), amount);
    let metas = [Meta { key: payer.key(), writable: 1, signer: 1 }, Meta { key: channel.key(), writable: 1, signer: 0 }];
    // The accounts that System's instruction names; the runtime finds System itself among this instruction's accounts.
    let infos = [payer.info(), channel.info()];
    let ix = Instruction { program: system.key(), metas: metas.as_ptr(), metas_len: 2, data: p, data_len: 12 };
    let e = sol_invoke_signed_c(&ix, infos.as_ptr(), 2, core::ptr::null(), 0);
    if e != 0 { return Err(e); }
    if channel.lamports() < before.wrapping_add(amount) { return Err(OVERFLOW); } // read again after the CPI
    set(d, DEPOSIT, total);
    event(2, channel.key(), amount, total);
    Ok(())
}
