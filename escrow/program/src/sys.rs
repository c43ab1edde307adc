//! The runtime's interface: accounts as the loader lays them out, syscalls, error codes. Raw pointers only: slices would pull in panics.
//!
//! Every function is unsafe for one reason, raw pointers, and sound for one: they point into the loader's input (aligned, writable, lengths
//! set by the runtime), and no read passes a length that was not compared first: the account count (`run`), the data's (`exactly`), a
//! Channel's (`load`), the sysvar's (`previous`; only the runtime's own account has its key). Locals that a syscall gets outlive the call.

pub const BAD_SIGNER: u64 = 100;
pub const BAD_STATUS: u64 = 101;
pub const BAD_INSTRUCTION: u64 = 102;
pub const NOT_WRITABLE: u64 = 103;
pub const BAD_OWNER: u64 = 104;
pub const BAD_ACCOUNT: u64 = 105;
pub const BAD_SYSVAR: u64 = 106;
pub const BAD_DESTINATION: u64 = 108;
pub const ACCOUNT_COUNT: u64 = 109;
pub const DUPLICATE_ACCOUNT: u64 = 110;
pub const BAD_PROGRAM: u64 = 111;
pub const SELF_PAY: u64 = 112;
pub const ZERO_AMOUNT: u64 = 120;
pub const CLOSE_DELAY_RANGE: u64 = 121;
pub const SLOT_WINDOW: u64 = 122;
pub const BAD_VOUCHER_KEY: u64 = 123;
pub const NO_SIGNATURE: u64 = 140;
pub const MALFORMED_SIGNATURE: u64 = 141;
pub const BAD_MAGIC: u64 = 142;
pub const WRONG_CHANNEL: u64 = 143;
pub const EXPIRED: u64 = 144;
pub const NOT_MONOTONIC: u64 = 145;
pub const OVER_DEPOSIT: u64 = 146;
pub const WRONG_SIGNER: u64 = 147;
pub const OVER_SETTLED: u64 = 148;
pub const TOO_EARLY: u64 = 160;
pub const LEGS_OPEN: u64 = 162;
pub const OVERFLOW: u64 = 163;

#[repr(C)]
pub struct Meta { pub key: *const u8, pub writable: u8, pub signer: u8 }
#[repr(C)]
pub struct Instruction { pub program: *const u8, pub metas: *const Meta, pub metas_len: u64, pub data: *const u8, pub data_len: u64 }
#[repr(C)]
pub struct Info { pub key: *const u8, pub lamports: *mut u64, pub data_len: u64, pub data: *mut u8, pub owner: *const u8, pub rent_epoch: u64, pub signer: u8, pub writable: u8, pub executable: u8 }
#[repr(C)]
pub struct Bytes { pub ptr: *const u8, pub len: u64 }
#[repr(C)]
pub struct Seeds { pub ptr: *const Bytes, pub len: u64 }

extern "C" {
    pub fn sol_log_data(data: *const Bytes, len: u64) -> u64;
    pub fn sol_get_clock_sysvar(out: *mut u8) -> u64;
    pub fn sol_get_rent_sysvar(out: *mut u8) -> u64;
    pub fn sol_invoke_signed_c(ix: *const Instruction, infos: *const Info, infos_len: u64, seeds: *const Seeds, seeds_len: u64) -> u64;
    pub fn sol_curve_validate_point(curve: u64, point: *const u8, out: *mut u8) -> u64;
}

/// An account in the input region: 0 dup marker, 1 signer, 2 writable, 8 key, 40 owner, 72 lamports, 80 data length, 88 data.
#[derive(Clone, Copy)]
pub struct Acc(pub *mut u8);

#[inline(always)]
pub unsafe fn rd(p: *const u8) -> u64 { (p as *const u64).read_unaligned() }
#[inline(always)]
pub unsafe fn wr(p: *mut u8, v: u64) { (p as *mut u64).write_unaligned(v) }
#[inline(always)]
pub unsafe fn eq32(a: *const u8, b: *const u8) -> bool {
    rd(a) == rd(b) && rd(a.add(8)) == rd(b.add(8)) && rd(a.add(16)) == rd(b.add(16)) && rd(a.add(24)) == rd(b.add(24))
}
#[inline(always)]
pub unsafe fn zero32(a: *const u8) -> bool { (rd(a) | rd(a.add(8)) | rd(a.add(16)) | rd(a.add(24))) == 0 }
#[inline(always)]
pub unsafe fn cp32(to: *mut u8, from: *const u8) {
    wr(to, rd(from));
    wr(to.add(8), rd(from.add(8)));
    wr(to.add(16), rd(from.add(16)));
    wr(to.add(24), rd(from.add(24)));
}

impl Acc {
    #[inline(always)]
    pub unsafe fn signer(self) -> bool { *self.0.add(1) == 1 }
    #[inline(always)]
    pub unsafe fn writable(self) -> bool { *self.0.add(2) == 1 }
    #[inline(always)]
    pub unsafe fn executable(self) -> bool { *self.0.add(3) == 1 }
    #[inline(always)]
    pub unsafe fn key(self) -> *mut u8 { self.0.add(8) }
    #[inline(always)]
    pub unsafe fn owner(self) -> *mut u8 { self.0.add(40) }
    #[inline(always)]
    pub unsafe fn lamports(self) -> u64 { rd(self.0.add(72)) }
    #[inline(always)]
    pub unsafe fn set_lamports(self, v: u64) { wr(self.0.add(72), v) }
    #[inline(always)]
    pub unsafe fn len(self) -> u64 { rd(self.0.add(80)) }
    #[inline(always)]
    pub unsafe fn data(self) -> *mut u8 { self.0.add(88) }
    #[inline(always)]
    pub unsafe fn info(self) -> Info {
        Info { key: self.key(), lamports: self.0.add(72) as *mut u64, data_len: self.len(), data: self.data(), owner: self.owner(), rent_epoch: 0, signer: *self.0.add(1), writable: *self.0.add(2), executable: *self.0.add(3) }
    }
}

#[repr(C, align(8))]
struct Clock([u8; 40]);

/// (slot, unix time) of the Clock sysvar.
#[inline(always)]
pub unsafe fn clock() -> (u64, i64) {
    let mut c = core::mem::MaybeUninit::<Clock>::uninit();
    let p = c.as_mut_ptr() as *mut u8;
    sol_get_clock_sysvar(p);
    (rd(p), rd(p.add(32)) as i64)
}

/// Rent-exempt minimum of `len` bytes: (128 + len) × the sysvar's first field.
#[inline(always)]
pub unsafe fn rent(len: u64) -> u64 {
    let mut c = core::mem::MaybeUninit::<Clock>::uninit();
    let p = c.as_mut_ptr() as *mut u8;
    sol_get_rent_sysvar(p);
    // Before SIMD-0194 the field is per byte-year and the threshold (an f64) is 2.0: its bits are compared, no floats.
    let per = rd(p);
    let per = if rd(p.add(8)) == 0x4000_0000_0000_0000 { per.wrapping_add(per) } else { per };
    (128 + len).wrapping_mul(per)
}

/// One 56-byte event: "gpuai/" 01 tag, channel, two numbers. A hint: account state is the truth.
#[inline(always)]
pub unsafe fn event(tag: u8, channel: *const u8, a: u64, b: u64) {
    let mut m = core::mem::MaybeUninit::<[u8; 56]>::uninit();
    let p = m.as_mut_ptr() as *mut u8;
    wr(p, 0x0001_2f69_6175_7067 | ((tag as u64) << 56));
    cp32(p.add(8), channel);
    wr(p.add(40), a);
    wr(p.add(48), b);
    let s = Bytes { ptr: p, len: 56 };
    sol_log_data(&s, 1);
}
