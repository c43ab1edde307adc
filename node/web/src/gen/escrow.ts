// Code generated from escrow/layout/table.go by make docs; DO NOT EDIT.

function view(b: Uint8Array): DataView {
  return new DataView(b.buffer, b.byteOffset, b.byteLength);
}

/** Bytes that are not what they should be. */
export class Malformed extends Error {}

function put(b: Uint8Array, at: number, key: Uint8Array, name: string): void {
  if (key.length !== 32) throw new Malformed(`${name}: ${key.length} bytes instead of 32`);
  b.set(key, at);
}

/** Instructions by tag: data length with the tag, accounts by name, what the event's two numbers are. */
export const calls = {
  1: {
    name: "open",
    dataLength: 101,
    accounts: [
      { name: "payer", signer: true, writable: true },
      { name: "payee", signer: false, writable: true },
      { name: "channel", signer: false, writable: true },
      { name: "system", signer: false, writable: false },
    ],
    event: ["deposit", "total"],
  },
  2: {
    name: "top_up",
    dataLength: 9,
    accounts: [
      { name: "payer", signer: true, writable: true },
      { name: "channel", signer: false, writable: true },
      { name: "system", signer: false, writable: false },
    ],
    event: ["added", "total"],
  },
  3: {
    name: "claim",
    dataLength: 1,
    accounts: [
      { name: "channel", signer: false, writable: true },
      { name: "instructions", signer: false, writable: false },
      { name: "payee_dest", signer: false, writable: true },
    ],
    event: ["settled", "paid"],
  },
  4: {
    name: "record",
    dataLength: 1,
    accounts: [
      { name: "channel", signer: false, writable: true },
      { name: "instructions", signer: false, writable: false },
    ],
    event: ["settled", "paid"],
  },
  5: {
    name: "request_close",
    dataLength: 1,
    accounts: [
      { name: "authority", signer: true, writable: false },
      { name: "channel", signer: false, writable: true },
    ],
    event: ["deadline", "settled"],
  },
  6: {
    name: "release",
    dataLength: 1,
    accounts: [
      { name: "authority", signer: true, writable: false },
      { name: "channel", signer: false, writable: true },
      { name: "instructions", signer: false, writable: false },
    ],
    event: ["settled", "deposit"],
  },
  7: {
    name: "seal",
    dataLength: 1,
    accounts: [
      { name: "channel", signer: false, writable: true },
    ],
    event: ["settled", "deposit"],
  },
  8: {
    name: "pay_payee",
    dataLength: 1,
    accounts: [
      { name: "channel", signer: false, writable: true },
      { name: "payee_dest", signer: false, writable: true },
    ],
    event: ["sent", "paid"],
  },
  9: {
    name: "pay_payer",
    dataLength: 1,
    accounts: [
      { name: "channel", signer: false, writable: true },
      { name: "payer_dest", signer: false, writable: true },
    ],
    event: ["sent", "refunded"],
  },
  10: {
    name: "reclaim",
    dataLength: 1,
    accounts: [
      { name: "channel", signer: false, writable: true },
      { name: "payer", signer: false, writable: true },
    ],
    event: ["lamports", "zero"],
  },
  11: {
    name: "consent",
    dataLength: 1,
    accounts: [
      { name: "channel", signer: false, writable: true },
      { name: "instructions", signer: false, writable: false },
    ],
    event: ["settled", "deposit"],
  },
} as const;

/** The program's errors. */
export const codes: Readonly<Record<number, { name: string; text: string }>> = {
  100: { name: "bad-signer", text: "an account that must sign did not, or is not the one that may" },
  101: { name: "bad-status", text: "the Channel is not in the status that this needs" },
  102: { name: "bad-instruction", text: "unknown tag, or data of another length" },
  103: { name: "not-writable", text: "an account that must be writable is not" },
  104: { name: "bad-owner", text: "the Channel does not belong to the program" },
  105: { name: "bad-account", text: "not a Channel of this layout" },
  106: { name: "bad-sysvar", text: "not the instructions sysvar" },
  107: { name: "bad-mint", text: "a mint that is not taken" },
  108: { name: "bad-destination", text: "money would go to an address that the Channel does not name" },
  109: { name: "account-count", text: "too many or too few accounts" },
  110: { name: "duplicate-account", text: "one account twice" },
  111: { name: "bad-program", text: "another program than the one that is called" },
  112: { name: "self-pay", text: "payer and payee are one" },
  120: { name: "zero-amount", text: "nothing to lock" },
  121: { name: "close-delay-range", text: "the close delay is not between 10 minutes and 7 days" },
  122: { name: "slot-window", text: "open_slot lies ahead or too far back" },
  123: { name: "bad-voucher-key", text: "the voucher key is no point of the curve" },
  140: { name: "no-signature", text: "no signature check right before the instruction" },
  141: { name: "malformed-signature", text: "a signature check in another form than the one that is taken" },
  142: { name: "bad-magic", text: "the signed bytes are another kind of message" },
  143: { name: "wrong-channel", text: "the message is for another Channel" },
  144: { name: "expired", text: "the message has expired" },
  145: { name: "not-monotonic", text: "not more than what stands already" },
  146: { name: "over-deposit", text: "more than the deposit" },
  147: { name: "wrong-signer", text: "signed by another key" },
  148: { name: "over-settled", text: "more than what is settled" },
  160: { name: "too-early", text: "the delay or the window is not over" },
  162: { name: "legs-open", text: "a side is not paid yet" },
  163: { name: "overflow", text: "a sum that does not fit, or numbers that contradict each other" },
};

/** Creates and funds a Channel. */
export interface Open {
  /** what the payer locks */
  deposit: bigint;
  /** from a request to close to the right to seal */
  closeDelay: number;
  /** counted up until the address has bump 255 */
  salt: bigint;
  /** first 8 bytes of the genesis hash */
  clusterTag: bigint;
  /** the address may be opened from this slot on, for 3,000 slots */
  openSlot: bigint;
  /** signs Vouchers */
  voucherKey: Uint8Array;
  /** signs Releases; zero: nobody can */
  releaseKey: Uint8Array;
}

export function encodeOpen(d: Open): Uint8Array {
  const b = new Uint8Array(101);
  const v = view(b);
  b[0] = 1;
  v.setBigUint64(1, d.deposit, true);
  v.setUint32(9, d.closeDelay, true);
  v.setBigUint64(13, d.salt, true);
  v.setBigUint64(21, d.clusterTag, true);
  v.setBigUint64(29, d.openSlot, true);
  put(b, 37, d.voucherKey, "voucher_key");
  put(b, 69, d.releaseKey, "release_key");
  return b;
}

export function decodeOpen(b: Uint8Array): Open {
  if (b.length !== 101 || b[0] !== 1) throw new Malformed("not the bytes of Open");
  const v = view(b);
  return {
    deposit: v.getBigUint64(1, true),
    closeDelay: v.getUint32(9, true),
    salt: v.getBigUint64(13, true),
    clusterTag: v.getBigUint64(21, true),
    openSlot: v.getBigUint64(29, true),
    voucherKey: b.slice(37, 69),
    releaseKey: b.slice(69, 101),
  };
}

/** Raises the deposit of an open Channel to a total. */
export interface TopUp {
  /** the deposit afterwards, so that a repeat adds nothing */
  total: bigint;
}

export function encodeTopUp(d: TopUp): Uint8Array {
  const b = new Uint8Array(9);
  const v = view(b);
  b[0] = 2;
  v.setBigUint64(1, d.total, true);
  return b;
}

export function decodeTopUp(b: Uint8Array): TopUp {
  if (b.length !== 9 || b[0] !== 2) throw new Malformed("not the bytes of TopUp");
  const v = view(b);
  return {
    total: v.getBigUint64(1, true),
  };
}

/** Settles the Voucher of the instruction before, and pays the payee. */
export function encodeClaim(): Uint8Array {
  return new Uint8Array([3]);
}

/** Settles the Voucher of the instruction before, without a payout. */
export function encodeRecord(): Uint8Array {
  return new Uint8Array([4]);
}

/** Begins the close delay; for the payer or the voucher key. */
export function encodeRequestClose(): Uint8Array {
  return new Uint8Array([5]);
}

/** Seals at the sum of the Release of the instruction before. */
export function encodeRelease(): Uint8Array {
  return new Uint8Array([6]);
}

/** Seals after the close delay; anybody may call it. */
export function encodeSeal(): Uint8Array {
  return new Uint8Array([7]);
}

/** Pays the payee what is settled and not paid; anybody may call it. */
export function encodePayPayee(): Uint8Array {
  return new Uint8Array([8]);
}

/** Pays the payer the rest of a sealed Channel; anybody may call it. */
export function encodePayPayer(): Uint8Array {
  return new Uint8Array([9]);
}

/** Removes a sealed, paid Channel; its storage deposit goes to the payer. */
export function encodeReclaim(): Uint8Array {
  return new Uint8Array([10]);
}

/** Seals at what is settled, by the payee's Release of the instruction before. */
export function encodeConsent(): Uint8Array {
  return new Uint8Array([11]);
}

/** One Channel: who pays whom, what is locked, settled, paid and returned. */
export interface Channel {
  /** 0 open, 1 closing, 2 sealed */
  status: number;
  /** always 0 */
  flags: number;
  /** of the mint */
  decimals: number;
  /** always 255 */
  bump: number;
  /** all that was ever locked */
  deposit: bigint;
  /** what is the payee's */
  settled: bigint;
  /** of it, what the payee has got */
  paid: bigint;
  /** what the payer has got back */
  refunded: bigint;
  /** when it may be sealed; 0 while open */
  deadline: bigint;
  openSlot: bigint;
  salt: bigint;
  clusterTag: bigint;
  closeDelay: number;
  payer: Uint8Array;
  payee: Uint8Array;
  voucherKey: Uint8Array;
  releaseKey: Uint8Array;
  /** zero: SOL */
  mint: Uint8Array;
  /** zero: the account itself */
  vault: Uint8Array;
  /** where the payee's money goes */
  payeeDest: Uint8Array;
  /** where the rest goes */
  payerDest: Uint8Array;
  openedAt: bigint;
  /** slot of the last Voucher, if it had an expiry */
  voucherSlot: bigint;
}

export function encodeChannel(d: Channel): Uint8Array {
  const b = new Uint8Array(384);
  const v = view(b);
  b[0] = 1;
  b[1] = 1;
  v.setUint8(2, d.status);
  v.setUint8(3, d.flags);
  v.setUint8(4, d.decimals);
  v.setUint8(5, d.bump);
  v.setBigUint64(8, d.deposit, true);
  v.setBigUint64(16, d.settled, true);
  v.setBigUint64(24, d.paid, true);
  v.setBigUint64(32, d.refunded, true);
  v.setBigInt64(40, d.deadline, true);
  v.setBigUint64(48, d.openSlot, true);
  v.setBigUint64(56, d.salt, true);
  v.setBigUint64(64, d.clusterTag, true);
  v.setUint32(72, d.closeDelay, true);
  put(b, 80, d.payer, "payer");
  put(b, 112, d.payee, "payee");
  put(b, 144, d.voucherKey, "voucher_key");
  put(b, 176, d.releaseKey, "release_key");
  put(b, 208, d.mint, "mint");
  put(b, 240, d.vault, "vault");
  put(b, 272, d.payeeDest, "payee_dest");
  put(b, 304, d.payerDest, "payer_dest");
  v.setBigInt64(368, d.openedAt, true);
  v.setBigUint64(376, d.voucherSlot, true);
  return b;
}

export function decodeChannel(b: Uint8Array): Channel {
  if (b.length !== 384 || b[0] !== 1 || b[1] !== 1) throw new Malformed("not the bytes of Channel");
  const v = view(b);
  return {
    status: v.getUint8(2),
    flags: v.getUint8(3),
    decimals: v.getUint8(4),
    bump: v.getUint8(5),
    deposit: v.getBigUint64(8, true),
    settled: v.getBigUint64(16, true),
    paid: v.getBigUint64(24, true),
    refunded: v.getBigUint64(32, true),
    deadline: v.getBigInt64(40, true),
    openSlot: v.getBigUint64(48, true),
    salt: v.getBigUint64(56, true),
    clusterTag: v.getBigUint64(64, true),
    closeDelay: v.getUint32(72, true),
    payer: b.slice(80, 112),
    payee: b.slice(112, 144),
    voucherKey: b.slice(144, 176),
    releaseKey: b.slice(176, 208),
    mint: b.slice(208, 240),
    vault: b.slice(240, 272),
    payeeDest: b.slice(272, 304),
    payerDest: b.slice(304, 336),
    openedAt: v.getBigInt64(368, true),
    voucherSlot: v.getBigUint64(376, true),
  };
}
