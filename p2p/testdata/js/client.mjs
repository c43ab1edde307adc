// A js-libp2p node beside ours, from the wire's description alone: documents.proto, and the envelope's layout as
// docs/reference/wire.md has it. It prints one JSON line per step.
//
// argv: network, address of a node (/ip4/…/tcp/…/p2p/ID), path of documents.proto, class to look up
import './early.mjs'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import crypto from 'node:crypto'
import protobuf from 'protobufjs'

const [network, address, proto, klass] = process.argv.slice(2)
const prefix = `/gpuai/${network}`
const say = (step, more = {}) => console.log(JSON.stringify({ step, ...more }))
const text = (s) => new TextEncoder().encode(s)
const join = (...parts) => Buffer.concat(parts.map((p) => Buffer.from(p)))
const types = await protobuf.load(proto)
const refusal = new protobuf.Type('Refusal').add(new protobuf.Field('code', 1, 'string'))
const type = (name) => types.lookupType(`gpuai.wire.v1.${name}`)

// The envelope: format u8, kind u8, body length u32, signer 32, signature 64, body, reach.
const words = { 1: 'offer', 3: 'order', 4: 'quote' }
const signed = (kind, body) => join(text(`gpuai/${words[kind]}/1`), [0], text(network), [0], body)

function open (raw) {
  const b = Buffer.from(raw)
  const [kind, size] = [b[1], b.readUInt32BE(2)]
  const [signer, sig, body] = [b.subarray(6, 38), b.subarray(38, 102), b.subarray(102, 102 + size)]
  const key = crypto.createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: signer.toString('base64url') } })
  if (b[0] !== 1 || !crypto.verify(null, signed(kind, body), key, sig)) throw new Error('bad envelope')
  return { kind, signer, body, reach: b.subarray(102 + size) }
}

const seed = crypto.randomBytes(32)
const identity = await generateKeyPairFromSeed('Ed25519', seed)
const signer = crypto.createPrivateKey({
  format: 'jwk',
  key: { kty: 'OKP', crv: 'Ed25519', d: seed.toString('base64url'), x: Buffer.from(identity.publicKey.raw).toString('base64url') }
})

function seal (kind, body) {
  const size = Buffer.alloc(4)
  size.writeUInt32BE(body.length)
  return join([1, kind], size, identity.publicKey.raw, crypto.sign(null, signed(kind, body), signer), body)
}

const node = await createLibp2p({
  privateKey: identity,
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    ping: ping(),
    pubsub: gossipsub({ globalSignaturePolicy: 'StrictNoSign', allowPublishToZeroTopicPeers: true }),
    dht: kadDHT({ protocol: `${prefix}/kad/1.0.0`, clientMode: true, allowQueryWithZeroPeers: true, peerInfoMapper: passthroughMapper })
  }
})

// heard resolves with the first true Offer of gossip.
const heard = new Promise((resolve, reject) => {
  node.services.pubsub.addEventListener('message', ({ detail }) => {
    try {
      const e = open(detail.data)
      const offer = type('PBOffer').decode(e.body)
      if (offer.groups.length > 0) resolve({ e, offer })
    } catch (err) { reject(err) }
  })
})
node.services.pubsub.subscribe(`${prefix}/book/1/1/0`)

const identified = new Promise((resolve) => node.addEventListener('peer:identify', ({ detail }) => resolve(detail)))
const target = multiaddr(address)
const conn = await node.dial(target)
const peer = conn.remotePeer
say('dialled', { peer: peer.toString() })
const known = await identified
say('identified', { version: known.protocolVersion, kad: known.protocols.includes(`${prefix}/kad/1.0.0`) })
const pinged = async () => {
  try { return await node.services.ping.ping(peer) } catch (err) {
    if (err.name !== 'TooManyOutboundProtocolStreamsError') throw err
    await new Promise((resolve) => setTimeout(resolve, 200)) // its own table pings too, and one at a time may
    return await pinged()
  }
}
say('pinged', { ms: await pinged() })
const { e, offer } = await heard
say('heard', { provider: e.signer.toString('hex'), class: offer.groups[0].class, rate: offer.groups[0].rates[0].toString() })

const key = CID.createV1(0x55, await sha256.digest(join(text('gpuai/dht/1'), [0], text(network), [0], text(`class/${klass}`))))
const found = []
for (let i = 0; i < 10 && found.length === 0; i++) {
  if (i > 0) { // its table now and then misses a node that it was connected to early
    await node.hangUp(peer)
    await node.dial(target)
  }
  await new Promise((resolve) => setTimeout(resolve, 500))
  for await (const event of node.services.dht.findProviders(key, { signal: AbortSignal.timeout(10_000) })) {
    if (event.name === 'PROVIDER') found.push(...event.providers.map((p) => p.id.toString()))
    if (found.length > 0) break
  }
}
say('found', { providers: found })

// A question for a quote, which this stranger without a deposit may be refused: a typed answer either way.
const now = Date.now()
const order = type('PBOrder').encode({
  nonce: crypto.randomBytes(16), customer: identity.publicKey.raw, payer: crypto.randomBytes(32), clusterTag: 1,
  created: now, validUntil: now + 60_000, kind: 1, devices: 1, image: 'a/b@sha256:' + 'a'.repeat(64), imageBytes: 1000,
  platform: 'linux/amd64', maxRate: 1_000_000_000, budget: 1_000_000_000, maxDuration: 600_000
}).finish()
const question = join([1], seal(3, order)) // message type 1: an order
const stream = await node.dialProtocol(peer, `${prefix}/quote/1`)
const varint = (n) => n < 128 ? [n] : [n & 127 | 128, ...varint(n >> 7)]
stream.send(join(varint(question.length), question))
const chunks = []
for await (const c of stream) chunks.push(Buffer.from(c.subarray ? c.subarray() : c))
const answer = Buffer.concat(chunks)
let at = 0
while (answer[at] & 128) at++
const [answered, rest] = [answer[at + 1], answer.subarray(at + 2)]
if (answered === 2) say('quoted', { rate: type('PBQuote').decode(open(rest).body).rate.toString() })
else say('refused', { code: refusal.decode(rest).code })

await new Promise((resolve) => setTimeout(resolve, 2000))
say('stays', { connected: node.getConnections(peer).length > 0 })
await node.stop()
process.exit(0)
