//! The escrow program of GPU AI: Channels in SOL. No crates, no allocator, no admin, no shared writable account.
//! Rules of every instruction: exact account count and data length; no account twice; a Channel is checked for owner, length, kind and
//! version; money goes only to addresses that are fields of the Channel; watermarks are written before money moves.
#![no_std]
#![no_main]

mod channel;
mod claim;
mod close;
mod open;
mod pay;
mod sys;
mod top_up;
mod voucher;

use sys::*;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }

/// # Safety
/// Called by the loader with its own input region.
#[no_mangle]
pub unsafe extern "C" fn entrypoint(input: *mut u8) -> u64 {
    match run(input) { Ok(()) => 0, Err(e) => e }
}

#[inline(always)]
unsafe fn run(input: *mut u8) -> Result<(), u64> {
    let n = rd(input);
    if n < 1 || n > 4 { return Err(ACCOUNT_COUNT); }
    let mut p = input.add(8);
    let none = Acc(input);
    let mut acc = [none, none, none, none];
    let mut i = 0;
    while i < n {
        if *p != 0xFF { return Err(DUPLICATE_ACCOUNT); } // guard:duplicate
        match i { 0 => acc[0] = Acc(p), 1 => acc[1] = Acc(p), 2 => acc[2] = Acc(p), _ => acc[3] = Acc(p) }
        let len = rd(p.add(80)) as usize;
        p = p.add(88 + 10_240 + ((len + 7) & !7) + 8); // data, growth room, rent epoch
        i += 1;
    }
    let len = rd(p);
    if len < 1 { return Err(BAD_INSTRUCTION); }
    let data = p.add(8);
    let program = data.add(len as usize);
    let ctx = Ctx { acc, data: data.add(1), program };
    let (accounts, length) = match *data {
        1 => (4, 101),
        2 => (3, 9),
        3 | 6 => (3, 1),
        4 | 5 | 8 | 9 | 10 => (2, 1),
        7 => (1, 1),
        _ => return Err(BAD_INSTRUCTION),
    };
    if n != accounts { return Err(ACCOUNT_COUNT); } // guard:count
    if len != length { return Err(BAD_INSTRUCTION); } // guard:length
    match *data {
        1 => open::open(&ctx),
        2 => top_up::top_up(&ctx),
        3 => claim::claim(&ctx, true),
        4 => claim::claim(&ctx, false),
        5 => close::request_close(&ctx),
        6 => {
            let ctx = Ctx { acc: [ctx.acc[1], ctx.acc[0], ctx.acc[2], none], ..ctx };
            close::release(&ctx)
        }
        7 => close::seal(&ctx),
        8 => pay::payee(&ctx),
        9 => pay::payer(&ctx),
        _ => pay::reclaim(&ctx),
    }
}
