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

/// Walks the accounts once and stops at the count that the input names: each count has its own few tags, so an instruction gets exactly its
/// accounts by name, and the walk is straight code.
#[inline(always)]
unsafe fn run(input: *mut u8) -> Result<(), u64> {
    let n = rd(input);
    if n == 0 { return Err(ACCOUNT_COUNT); }
    let (a, end) = account(input.add(8))?;
    if n == 1 {
        let x = Data(end);
        return match x.tag() {
            7 => close::seal(x.exactly(1)?, a),
            _ => Err(x.misfit()),
        };
    }
    let (b, end) = account(end)?;
    if n == 2 {
        let x = Data(end);
        return match x.tag() {
            4 => claim::record(x.exactly(1)?, a, b),
            5 => close::request_close(x.exactly(1)?, a, b),
            8 => pay::payee(x.exactly(1)?, a, b),
            9 => pay::payer(x.exactly(1)?, a, b),
            10 => pay::reclaim(x.exactly(1)?, a, b),
            11 => close::consent(x.exactly(1)?, a, b),
            _ => Err(x.misfit()),
        };
    }
    let (c, end) = account(end)?;
    if n == 3 {
        let x = Data(end);
        return match x.tag() {
            2 => top_up::top_up(x.exactly(9)?, x.body(), a, b, c),
            3 => claim::claim(x.exactly(1)?, a, b, c),
            6 => close::release(x.exactly(1)?, a, b, c),
            _ => Err(x.misfit()),
        };
    }
    let (d, end) = account(end)?;
    if n != 4 { return Err(ACCOUNT_COUNT); }
    let x = Data(end);
    match x.tag() {
        1 => open::open(x.exactly(101)?, x.body(), [a, b, c, d]),
        _ => Err(x.misfit()),
    }
}

/// The account at p and where the next one begins. p lies in the loader's input, as there are more accounts to come.
#[inline(always)]
unsafe fn account(p: *mut u8) -> Result<(Acc, *mut u8), u64> {
    if *p != 0xFF { return Err(DUPLICATE_ACCOUNT); } // guard:duplicate
    let a = Acc(p);
    let padded = (a.len() as usize + 7) & !7;
    Ok((a, p.add(88 + 10_240 + padded + 8))) // data, growth room, rent epoch
}

/// The instruction data behind the last account: length u64, bytes (the first is the tag), then the program's own id.
#[derive(Clone, Copy)]
struct Data(*const u8);

impl Data {
    /// Without data this is a byte of the program's id: nothing happens before `exactly` or `misfit`.
    #[inline(always)]
    unsafe fn tag(self) -> u8 { *self.0.add(8) }
    #[inline(always)]
    unsafe fn body(self) -> *const u8 { self.0.add(9) }

    /// The program's own id, if the data has this length.
    #[inline(always)]
    unsafe fn exactly(self, len: usize) -> Result<*const u8, u64> {
        if rd(self.0) != len as u64 { return Err(BAD_INSTRUCTION); } // guard:length
        Ok(self.0.add(8 + len))
    }

    /// What is wrong when no instruction of this account count has the tag.
    #[inline(always)]
    unsafe fn misfit(self) -> u64 {
        let known = rd(self.0) > 0 && self.tag() >= 1 && self.tag() <= 11;
        if known { ACCOUNT_COUNT } else { BAD_INSTRUCTION } // guard:count
    }
}
