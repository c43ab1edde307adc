//! 1 open: creates and funds a Channel. Accounts: payer sw, payee w, channel w, System.

use crate::channel::*;
use crate::sys::*;

static TAG: [u8; 7] = *b"channel";
static BUMP: [u8; 1] = [255];
static ZERO: [u8; 32] = [0; 32];
/// Sysvar1111111111111111111111111111111111111
static SYSVAR: [u8; 32] = [6, 167, 213, 23, 24, 117, 247, 41, 199, 61, 147, 64, 143, 33, 97, 32, 6, 126, 216, 140, 118, 224, 140, 40, 127, 193, 148, 96, 0, 0, 0, 0];
/// NativeLoader1111111111111111111111111111111
static NATIVE: [u8; 32] = [5, 135, 132, 191, 20, 139, 164, 40, 47, 176, 18, 87, 72, 136, 169, 241, 83, 160, 125, 173, 247, 101, 192, 69, 92, 154, 151, 3, 128, 0, 0, 0];

#[inline(always)]
pub unsafe fn open(program: *const u8, x: *const u8, accounts: [Acc; 4]) -> Result<(), u64> {
    let [payer, payee, channel, system] = accounts;
    // x: deposit 0, close_delay 8, salt 12, cluster_tag 20, open_slot 28, voucher_key 36, release_key 68
    let deposit = rd(x);
    let delay = (x.add(8) as *const u32).read_unaligned() as u64;
    let open_slot = rd(x.add(28));
    if !payer.signer() { return Err(BAD_SIGNER); } // guard:payer-signer
    if !payer.writable() || !channel.writable() { return Err(NOT_WRITABLE); }
    // A payee that can never be paid would lock the payer's rent for ever. The runtime lends reserved keys (sysvars, builtins, this program) read-only.
    if !payee.writable() { return Err(NOT_WRITABLE); } // guard:payee-writable
    if payee.executable() || eq32(payee.owner(), SYSVAR.as_ptr()) || eq32(payee.owner(), NATIVE.as_ptr()) { return Err(BAD_DESTINATION); } // guard:payee-payable
    // A keypair that signs would satisfy System without the seeds below: the address would stand for no terms and could live twice.
    if channel.signer() { return Err(BAD_ACCOUNT); } // guard:channel-signer
    if !zero32(system.key()) { return Err(BAD_PROGRAM); } // guard:system
    if eq32(payer.key(), payee.key()) { return Err(SELF_PAY); } // R2 refuses it first: one key is one account
    if deposit == 0 { return Err(ZERO_AMOUNT); }
    if delay < 600 || delay > 604_800 { return Err(CLOSE_DELAY_RANGE); } // guard:close-delay
    let (slot, now) = clock();
    if open_slot > slot || slot - open_slot > WINDOW { return Err(SLOT_WINDOW); } // guard:slot-window
    let mut scratch = core::mem::MaybeUninit::<[u8; 32]>::uninit();
    if sol_curve_validate_point(0, x.add(36), scratch.as_mut_ptr() as *mut u8) != 0 { return Err(BAD_VOUCHER_KEY); } // guard:on-curve

    let need = match rent(LEN).checked_add(deposit) { Some(v) => v, None => return Err(OVERFLOW) };
    let have = channel.lamports();
    let add = if have >= need { 0 } else { need - have }; // a stranger's prefund only lowers what the payer pays
    create(program, x, accounts, add)?;
    // System did it or the call failed; looked at again because all that follows rests on it.
    if channel.len() != LEN || !eq32(channel.owner(), program) || channel.lamports() < need { return Err(BAD_ACCOUNT); }

    let d = channel.data();
    wr(d, 0x0000_FF09_0000_0101); // discriminator 1, version 1, Open, flags 0, decimals 9, bump 255
    set(d, DEPOSIT, deposit);
    set(d, OPEN_SLOT, open_slot);
    set(d, SALT, rd(x.add(12)));
    set(d, CLUSTER_TAG, rd(x.add(20)));
    set(d, CLOSE_DELAY, delay);
    cp32(d.add(PAYER), payer.key());
    cp32(d.add(PAYEE), payee.key());
    cp32(d.add(VOUCHER_KEY), x.add(36));
    cp32(d.add(RELEASE_KEY), x.add(68));
    cp32(d.add(PAYEE_DEST), payee.key());
    cp32(d.add(PAYER_DEST), payer.key());
    set(d, OPENED_AT, now as u64);
    event(1, channel.key(), deposit, deposit);
    Ok(())
}

/// System instruction 13, CreateAccountAllowPrefund, signed by the Channel's seeds: the runtime checks the address, as no other signature reaches it.
#[inline(always)]
unsafe fn create(program: *const u8, x: *const u8, accounts: [Acc; 4], add: u64) -> Result<(), u64> {
    let [payer, payee, channel, system] = accounts;
    let mut data = core::mem::MaybeUninit::<[u8; 56]>::uninit();
    let p = data.as_mut_ptr() as *mut u8;
    (p as *mut u32).write_unaligned(13);
    wr(p.add(4), add);
    wr(p.add(12), LEN);
    cp32(p.add(20), program);
    let metas = [Meta { key: channel.key(), writable: 1, signer: 1 }, Meta { key: payer.key(), writable: 1, signer: 1 }];
    let seeds = [
        Bytes { ptr: TAG.as_ptr(), len: 7 },
        Bytes { ptr: payer.key(), len: 32 },
        Bytes { ptr: payee.key(), len: 32 },
        Bytes { ptr: ZERO.as_ptr(), len: 32 },
        Bytes { ptr: x.add(36), len: 32 },
        Bytes { ptr: x.add(12), len: 24 },
        Bytes { ptr: BUMP.as_ptr(), len: 1 },
    ];
    let signer = Seeds { ptr: seeds.as_ptr(), len: 7 };
    // The accounts that System's instruction names; the runtime finds System itself among this instruction's accounts.
    let infos = [channel.info(), payer.info()];
    let ix = Instruction { program: system.key(), metas: metas.as_ptr(), metas_len: 2, data: p, data_len: 52 };
    match sol_invoke_signed_c(&ix, infos.as_ptr(), 2, &signer, 1) { 0 => Ok(()), e => Err(e) }
}
