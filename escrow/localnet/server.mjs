// A local Solana ledger over LiteSVM: JSON-RPC on loopback, what our client calls and no more. Prints one JSON line when it listens, ends
// when its standard input closes (no orphans). Options: --slot-ms N (0 = one slot per transaction), --seed TEXT, --port N, --program FILE ID.
import { createServer } from 'node:http';
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { LiteSVM, FailedTransactionMetadata, Clock, Rent } from 'litesvm';
import { getTransactionDecoder, getBase58Decoder, getBase58Encoder } from '@solana/kit';

const WINDOW = 150; // blocks that a blockhash lives
const FINAL = 32; // slots until a block is final
const MAX_TX = 1232;
const MAX_BODY = 1 << 20;
const FAUCET_SOL = 1_000_000_000n * 1_000_000_000n;

const args = process.argv.slice(2);
const opt = (name, otherwise) => { const i = args.indexOf('--' + name); return i < 0 ? otherwise : args[i + 1]; };
const slotMs = Number(opt('slot-ms', '400'));
const seed = opt('seed', 'gpuai-localnet');
const program = opt('program', '');
const programId = opt('program-id', '');

const sha256 = (...parts) => { const h = createHash('sha256'); for (const p of parts) h.update(p); return h.digest(); };
const b58 = getBase58Decoder(), un58 = getBase58Encoder();
const to58 = (bytes) => b58.decode(bytes);
const from58 = (text) => { const b = un58.encode(text); if (b.length !== 32) throw rpcError(-32602, `Invalid param: ${text}`); return b; };

function rpcError(code, message, data) { return Object.assign(new Error(message), { rpc: { code, message, ...(data === undefined ? {} : { data }) } }); }

const genesis = to58(sha256('gpuai/genesis/1', seed));
const faucetSeed = sha256('gpuai/faucet/1', seed);
const faucetKey = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), faucetSeed]), format: 'der', type: 'pkcs8' });
const faucetPub = createPublicKey(faucetKey).export({ format: 'der', type: 'spki' }).subarray(-32);
const faucet = to58(faucetPub);

const svm = new LiteSVM().withBlockhashCheck(false).withTransactionHistory(0n);
if (program) svm.addProgram(programId, readFileSync(program));
svm.setAccount({ address: faucet, lamports: FAUCET_SOL, data: new Uint8Array(), programAddress: '11111111111111111111111111111111', executable: false, space: 0n, exists: true });

let slot = 1n, offset = 0n; // offset: seconds that test_setClock added
const hashes = new Map(); // blockhash -> last valid height
const statuses = new Map(); // signature -> {slot, err}
const history = []; // landed transactions that name the program, oldest first
const preimages = new Map(); // slot -> Map(address -> account before the slot's first write, or null)
let latest = '';

function startSlot() {
  latest = to58(sha256(genesis, slot.toString()));
  hashes.set(latest, slot + BigInt(WINDOW));
  for (const [h, last] of hashes) if (last < slot) hashes.delete(h); else break;
  preimages.delete(slot - BigInt(FINAL) - 2n);
  svm.setClock(new Clock(slot, 0n, 0n, 0n, BigInt(Math.floor(Date.now() / 1000)) + offset));
}
startSlot();
svm.warpToSlot(slot);
startSlot();
function nextSlot() { slot++; startSlot(); }
if (slotMs > 0) setInterval(nextSlot, slotMs);

const final = () => (slot > BigInt(FINAL) ? slot - BigInt(FINAL) : 0n);

function read(address) { const a = svm.getAccount(address); return a.exists && a.lamports > 0n ? a : null; }

/** The account as of the end of slot `at`: the first pre-image after it, else what is now. */
function readAt(address, at) {
  for (let s = at + 1n; s <= slot; s++) {
    const m = preimages.get(s);
    if (m && m.has(address)) return m.get(address);
  }
  return read(address);
}

function remember(addresses) {
  let m = preimages.get(slot);
  if (!m) preimages.set(slot, (m = new Map()));
  for (const a of addresses) if (!m.has(a)) m.set(a, read(a));
}

/** Signature, account keys and blockhash of a legacy or v0 transaction. */
function parse(bytes) {
  let p = 0;
  const u8 = () => { if (p >= bytes.length) throw rpcError(-32602, 'failed to deserialize transaction'); return bytes[p++]; };
  const len = () => { let v = 0, s = 0; for (;;) { const b = u8(); v |= (b & 127) << s; if (b < 128) return v; s += 7; if (s > 14) throw rpcError(-32602, 'failed to deserialize transaction'); } };
  const take = (n) => { const b = bytes.subarray(p, p + n); if (b.length !== n) throw rpcError(-32602, 'failed to deserialize transaction'); p += n; return b; };
  const n = len();
  if (n < 1) throw rpcError(-32602, 'no signature');
  const signature = to58(take(64));
  take(64 * (n - 1));
  if (bytes[p] & 128) p++;
  p += 3;
  const keys = [];
  for (let k = len(); k > 0; k--) keys.push(to58(take(32)));
  return { signature, keys, blockhash: to58(take(32)) };
}

const FIELDLESS = ['AccountInUse', 'AccountLoadedTwice', 'AccountNotFound', 'ProgramAccountNotFound', 'InsufficientFundsForFee', 'InvalidAccountForFee', 'AlreadyProcessed', 'BlockhashNotFound', 'CallChainTooDeep', 'MissingSignatureForFee', 'InvalidAccountIndex', 'SignatureFailure', 'InvalidProgramForExecution', 'SanitizeFailure'];

function errorOf(failed) {
  const e = failed.err();
  if (typeof e === 'number') return FIELDLESS[e] ?? `TransactionError${e}`;
  if (e && e.constructor.name === 'TransactionErrorInstructionError') {
    const inner = e.err();
    const code = inner && typeof inner === 'object' && 'code' in inner ? { Custom: inner.code } : /(\w+)\)*$/.exec(failed.toString().trim())?.[1] ?? String(inner);
    return { InstructionError: [e.index, typeof code === 'object' ? code : typeof inner === 'number' ? `InstructionError${inner}` : code] };
  }
  if (e && 'accountIndex' in e) return { InsufficientFundsForRent: { account_index: e.accountIndex } };
  return failed.toString();
}

function decodeParam(text, encoding) {
  if (encoding !== 'base64') throw rpcError(-32602, 'unsupported encoding: use base64');
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length > MAX_TX) throw rpcError(-32602, `transaction too large: ${bytes.length} bytes (max: ${MAX_TX})`);
  return bytes;
}

function run(bytes, simulate) {
  const tx = parse(bytes);
  if (!simulate || !tx.blockhash.startsWith('1111')) {
    const last = hashes.get(tx.blockhash);
    if (last === undefined || last < slot) return { tx, err: 'BlockhashNotFound', logs: [], units: 0n };
  }
  if (!simulate && statuses.has(tx.signature)) return { tx, err: 'AlreadyProcessed', logs: [], units: 0n };
  const decoded = getTransactionDecoder().decode(bytes);
  if (!simulate) remember(tx.keys);
  let r;
  try {
    r = simulate ? svm.simulateTransaction(decoded) : svm.sendTransaction(decoded);
  } catch (e) {
    return { tx, err: 'SanitizeFailure', logs: [String(e.message)], units: 0n };
  }
  const failed = r instanceof FailedTransactionMetadata;
  const meta = failed || simulate ? r.meta() : r;
  return { tx, err: failed ? errorOf(r) : null, logs: meta.logs(), units: meta.computeUnitsConsumed(), inner: simulate ? [] : meta.innerInstructions() };
}

const ctx = (s) => ({ apiVersion: '3.0.0', slot: s });
const view = (cfg) => (cfg?.commitment === 'finalized' || cfg?.commitment === undefined ? final() : slot);
function seen(cfg) {
  const s = view(cfg);
  if (cfg?.minContextSlot !== undefined && s < BigInt(cfg.minContextSlot)) throw rpcError(-32016, 'Minimum context slot has not been reached', { contextSlot: s });
  return s;
}
const account = (a) => a && { lamports: a.lamports, owner: a.programAddress, executable: a.executable, rentEpoch: 18446744073709551615n, space: BigInt(a.data.length), data: [Buffer.from(a.data).toString('base64'), 'base64'] };
const at = (address, s) => (s >= slot ? read(address) : readAt(address, s));

function airdrop(to, lamports) {
  const key = from58(to);
  if (lamports > 1000n * 1_000_000_000n) throw rpcError(-32602, 'airdrop of more than 1000 SOL');
  const data = Buffer.alloc(12);
  data.writeUInt32LE(2, 0);
  data.writeBigUInt64LE(lamports, 4);
  // A nonce instruction keeps two equal airdrops in one slot apart: a compute price that nobody pays for here.
  const price = Buffer.alloc(9);
  price[0] = 3;
  price.writeBigUInt64LE(BigInt(airdrops++), 1);
  const budget = Buffer.from(from58('ComputeBudget111111111111111111111111111111'));
  const message = Buffer.concat([Buffer.from([1, 0, 2, 4]), faucetPub, key, Buffer.alloc(32), budget, from58(latest), Buffer.from([2, 3, 0, price.length]), price, Buffer.from([2, 2, 0, 1, data.length]), data]);
  const bytes = Buffer.concat([Buffer.from([1]), sign(null, message, faucetKey), message]);
  return send(bytes);
}
let airdrops = 0;

function send(bytes) {
  const r = run(bytes, false);
  if (r.err === 'SignatureFailure') throw rpcError(-32003, 'Transaction signature verification failure');
  if (r.err === 'AlreadyProcessed') return r.tx.signature;
  if (r.err !== null && ['BlockhashNotFound', 'SanitizeFailure', 'AccountNotFound', 'InsufficientFundsForFee'].includes(r.err)) throw rpcError(-32002, `Transaction simulation failed: ${JSON.stringify(r.err)}`, { err: r.err, logs: r.logs, unitsConsumed: r.units, accounts: null });
  statuses.set(r.tx.signature, { slot, err: r.err, units: r.units, logs: r.logs });
  if (r.tx.keys.includes(programId)) history.push({ signature: r.tx.signature, slot, err: r.err, blockTime: BigInt(Math.floor(Date.now() / 1000)) + offset, bytes: Buffer.from(bytes).toString('base64'), inner: innerOf(r.inner), logs: r.logs });
  if (slotMs === 0) nextSlot();
  return r.tx.signature;
}

/** Instructions that programs called, by the one that called them, as an RPC node tells them. */
function innerOf(list) {
  return list.map((calls, index) => ({
    index,
    instructions: calls.map((c) => {
      const i = c.instruction();
      return { programIdIndex: i.programIdIndex(), accounts: [...i.accounts()], data: to58(i.data()), stackHeight: c.stackHeight() };
    }),
  })).filter((i) => i.instructions.length > 0);
}

/** Landed transactions of the program, newest first: what an indexer reads. Other addresses are not kept here. */
function signatures(address, cfg) {
  if (address !== programId) throw rpcError(-32602, 'only the program is indexed here');
  const newest = view(cfg), limit = cfg?.limit ?? 1000;
  if (!(limit >= 1 && limit <= 1000)) throw rpcError(-32602, 'Invalid limit; max 1000');
  let from = history.length;
  if (cfg?.before) from = history.findIndex((t) => t.signature === cfg.before);
  const out = [];
  for (let i = from - 1; i >= 0 && out.length < limit; i--) {
    const t = history[i];
    if (t.signature === cfg?.until) break;
    if (t.slot <= newest) out.push({ signature: t.signature, slot: t.slot, err: t.err, memo: null, blockTime: t.blockTime, confirmationStatus: t.slot <= final() ? 'finalized' : 'confirmed' });
  }
  return out;
}

function transaction(sig, cfg) {
  if (cfg?.encoding !== 'base64') throw rpcError(-32602, 'unsupported encoding: use base64');
  const t = history.find((t) => t.signature === sig && t.slot <= view(cfg));
  if (!t) return null;
  const first = Buffer.from(t.bytes, 'base64');
  const version = first[1 + 64 * first[0]] & 128 ? 0 : 'legacy';
  return { slot: t.slot, blockTime: t.blockTime, version, transaction: [t.bytes, 'base64'], meta: { err: t.err, innerInstructions: t.inner, loadedAddresses: { writable: [], readonly: [] }, logMessages: t.logs } };
}

const methods = {
  getGenesisHash: () => genesis,
  getSlot: (cfg) => seen(cfg),
  getBlockHeight: (cfg) => seen(cfg),
  getEpochInfo: (cfg) => { const s = seen(cfg); return { absoluteSlot: s, blockHeight: s, epoch: 0n, slotIndex: s, slotsInEpoch: 432000n, transactionCount: 0n }; },
  getLatestBlockhash: (cfg) => { seen({ ...cfg, commitment: 'confirmed' }); return { context: ctx(slot), value: { blockhash: latest, lastValidBlockHeight: slot + BigInt(WINDOW) } }; },
  getBalance: (address, cfg) => { from58(address); const s = seen(cfg); return { context: ctx(s), value: at(address, s)?.lamports ?? 0n }; },
  getMultipleAccounts: (list, cfg) => {
    if (!Array.isArray(list) || list.length > 100) throw rpcError(-32602, 'Too many inputs provided; max 100');
    const s = seen(cfg);
    return { context: ctx(s), value: list.map((a) => { from58(a); return account(at(a, s)); }) };
  },
  getRecentPrioritizationFees: () => [{ slot, prioritizationFee: 0 }],
  getSignatureStatuses: (list) => ({
    context: ctx(slot),
    value: list.map((sig) => {
      const s = statuses.get(sig);
      return s ? { slot: s.slot, confirmations: s.slot <= final() ? null : slot - s.slot, err: s.err, status: s.err === null ? { Ok: null } : { Err: s.err }, confirmationStatus: s.slot <= final() ? 'finalized' : 'confirmed' } : null;
    }),
  }),
  getSignaturesForAddress: signatures,
  getTransaction: transaction,
  sendTransaction: (text, cfg) => send(decodeParam(text, cfg?.encoding ?? 'base64')),
  simulateTransaction: (text, cfg) => {
    let bytes = decodeParam(text, cfg?.encoding ?? 'base64');
    if (cfg?.replaceRecentBlockhash) bytes = replaceBlockhash(bytes);
    if (!cfg?.sigVerify) svm.withSigverify(false);
    try {
      const r = run(bytes, true);
      return { context: ctx(slot), value: { err: r.err, logs: r.logs, unitsConsumed: r.units, accounts: null, returnData: null } };
    } finally { svm.withSigverify(true); }
  },
  requestAirdrop: (to, lamports) => airdrop(to, BigInt(lamports)),
  test_setClock: (unix) => { offset = BigInt(unix) - BigInt(Math.floor(Date.now() / 1000)); startSlot(); return null; },
  test_warp: (slots) => { for (let i = 0n; i < BigInt(slots); i++) nextSlot(); return slot; },
  test_setAccount: (address, a) => {
    from58(address);
    remember([address]);
    svm.setAccount({ address, lamports: BigInt(a.lamports), data: new Uint8Array(Buffer.from(a.data ?? '', 'base64')), programAddress: a.owner ?? '11111111111111111111111111111111', executable: false, space: 0n, exists: true });
    return null;
  },
  test_rent: () => svm.minimumBalanceForRentExemption(0n) / 128n,
  test_setRent: (perByte, threshold) => { svm.setRent(new Rent(BigInt(perByte), threshold, 50)); return null; },
  test_transaction: (sig) => { const s = statuses.get(sig); return s ? { slot: s.slot, err: s.err, unitsConsumed: s.units, logs: s.logs } : null; },
};

function replaceBlockhash(bytes) {
  const old = Buffer.from(from58(parse(bytes).blockhash)), i = bytes.indexOf(old);
  return Buffer.concat([bytes.subarray(0, i), from58(latest), bytes.subarray(i + 32)]);
}

// u64 as bare integers, in and out: a number of JavaScript holds only 53 bits.
const big = (_, v) => (typeof v === 'bigint' ? JSON.rawJSON ? JSON.rawJSON(v.toString()) : `\u0001${v}\u0001` : v);
const write = (v) => JSON.stringify(v, big).replaceAll(/"\\u0001(\d+)\\u0001"/g, '$1');
const parseJSON = (text) => JSON.parse(text.replaceAll(/([:[,]\s*)(\d{16,20})(?=\s*[,\]}])/g, '$1"$2"'));

function call(req) {
  const id = req?.id ?? null;
  if (req?.jsonrpc !== '2.0' || typeof req.method !== 'string') return { jsonrpc: '2.0', id, error: { code: -32600, message: 'Invalid request' } };
  const f = Object.hasOwn(methods, req.method) ? methods[req.method] : null;
  if (!f) return { jsonrpc: '2.0', id, error: { code: -32601, message: 'Method not found' } };
  try {
    return { jsonrpc: '2.0', id, result: f(...(req.params ?? [])) };
  } catch (e) {
    return { jsonrpc: '2.0', id, error: e.rpc ?? { code: -32602, message: String(e.message) } };
  }
}

const server = createServer((req, res) => {
  if (req.method !== 'POST') { res.writeHead(405).end(); return; }
  const parts = [];
  let size = 0;
  req.on('data', (c) => { size += c.length; if (size > MAX_BODY) req.destroy(); else parts.push(c); });
  req.on('end', () => {
    let body;
    try {
      const r = parseJSON(Buffer.concat(parts).toString());
      body = write(Array.isArray(r) ? r.slice(0, 100).map(call) : call(r));
    } catch (e) {
      body = write({ jsonrpc: '2.0', id: null, error: { code: -32700, message: 'Parse error' } });
    }
    res.writeHead(200, { 'content-type': 'application/json' }).end(body);
  });
});
server.keepAliveTimeout = 60_000;
server.on('error', (e) => { console.error(e.message); process.exit(1); }); // a port in use
server.listen(Number(opt('port', '0')), '127.0.0.1', () => {
  console.log(JSON.stringify({ rpc: `http://127.0.0.1:${server.address().port}`, genesis, program: programId, faucet }));
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
process.on('SIGINT', () => {}); // the parent closes standard input when it is done
