// SPDX-License-Identifier: MIT
//
// A private Helia node, driven over stdin and stdout: one JSON object per line
// in each direction. A request is {"id", "op", "timeout_ms", ...arguments}; its
// answer is {"id", "ok": true, ...results} or {"id", "ok": false, "error"}. The
// first request must be `start`. The node ends on `stop` or when stdin ends, so
// it never outlives the test that began it. Diagnostics go to stderr only.
//
// The node is built from the light parts because `createHelia` reaches for
// gateways, bootstrap peers and UPnP; here nothing leaves the loopback.
import fs from 'node:fs'
import fsp from 'node:fs/promises'
import path from 'node:path'
import readline from 'node:readline'
import { withBitswap } from '@helia/bitswap'
import { ipns, ipnsSelector, ipnsValidator } from '@helia/ipns'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify, identifyPush } from '@libp2p/identify'
import { kadDHT, removePrivateAddressesMapper, removePublicAddressesMapper } from '@libp2p/kad-dht'
import { mdns } from '@libp2p/mdns'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { sha256 } from 'multiformats/hashes/sha2'

const CODECS = { raw: 0x55, 'dag-pb': 0x70, 'dag-cbor': 0x71, 'dag-json': 0x0129 }
const DHTS = {
  lan: { protocol: '/ipfs/lan/kad/1.0.0', peerInfoMapper: removePublicAddressesMapper },
  wan: { protocol: '/ipfs/kad/1.0.0', peerInfoMapper: removePrivateAddressesMapper }
}
const RECORDS = { validators: { ipns: ipnsValidator }, selectors: { ipns: ipnsSelector } }
const PARALLEL_ENTRIES = 32

let node // the Helia node, once started
let files // its UnixFS view
let names // its IPNS
const identified = new Map() // peer id -> what identify told about it
const discovered = new Map() // peer id -> the addresses that mDNS told last
const inbound = [] // inbound identify streams: {protocol, peer, at_ns}

/* --- the parts of a node -------------------------------------------------- */

// An encrypter that keeps silent about muxers, so that the other side has to
// negotiate `/yamux/1.0.0` by multistream inside the secure channel.
function withoutEarlyMuxers (factory) {
  return (components) => {
    const encrypter = factory(components)
    for (const side of ['secureInbound', 'secureOutbound']) {
      const real = encrypter[side].bind(encrypter)
      encrypter[side] = (connection, options) =>
        real(connection, { ...options, skipStreamMuxerNegotiation: true })
    }
    return encrypter
  }
}

function encrypters ({ security = ['noise'], early_muxers: early = true }) {
  const known = { noise: noise(), tls: tls() }
  const wanted = security.map((name) => known[name])
  return early ? wanted : wanted.map(withoutEarlyMuxers)
}

// Notes when each inbound stream of a service arrives. (libp2p's own `use()` is
// no way to do this: in 3.3.11 a stream's handler is added to the registered list,
// so the handler of the first stream runs for every later one.)
function watched (factory) {
  return (components) => {
    const handle = (protocol, handler, options) => components.registrar.handle(protocol, (stream, connection) => {
      inbound.push({ protocol, peer: connection.remotePeer.toString(), at_ns: Number(process.hrtime.bigint()) })
      return handler(stream, connection)
    }, options)
    const registrar = new Proxy(components.registrar, {
      get: (real, name) => name === 'handle' ? handle : typeof real[name] === 'function' ? real[name].bind(real) : real[name]
    })
    return factory(new Proxy(components, {
      get: (real, name) => name === 'registrar' ? registrar : real[name]
    }))
  }
}

// Notes what a discovery service itself has heard: libp2p's own event tells of any new peer.
function noted (factory) {
  return (components) => {
    const discovery = factory(components)
    discovery.addEventListener('peer', ({ detail }) => {
      discovered.set(detail.id.toString(), detail.multiaddrs.map(String))
    })
    return discovery
  }
}

async function start (args) {
  const {
    listen = ['/ip4/127.0.0.1/tcp/0'],
    announce = [], // instead of the addresses that it listens on
    key = 'Ed25519',
    dht, // 'lan' or 'wan'
    dht_client: dhtClient = false, // serves nobody
    mdns: findsNeighbours = false, // leaves the loopback: for nodes in a network of their own
    stream_idle_ms: streamIdle,
    socket_idle_ms: socketIdle
  } = args
  const light = withLibp2pLight(createHeliaLight(), {
    privateKey: await generateKeyPair(key, key === 'RSA' ? 2048 : undefined),
    addresses: { listen, announce },
    transports: [tcp(socketIdle == null
      ? {}
      : { inboundSocketInactivityTimeout: socketIdle, outboundSocketInactivityTimeout: socketIdle }), webSockets()],
    connectionEncrypters: encrypters(args),
    streamMuxers: [yamux(streamIdle == null ? {} : { streamOptions: { inactivityTimeout: streamIdle } })],
    services: {
      identify: watched(identify()),
      identifyPush: identifyPush(),
      ping: ping(),
      ...(dht == null ? {} : { dht: kadDHT({ ...DHTS[dht], ...RECORDS, clientMode: dhtClient }) })
    },
    peerDiscovery: findsNeighbours ? [noted(mdns({ interval: 1000 }))] : [],
    connectionGater: { denyDialMultiaddr: () => false },
    connectionManager: { inboundConnectionThreshold: Infinity, maxIncomingPendingConnections: 1000 }
  })
  node = await withBitswap(light).start()
  files = unixfs(node)
  names = ipns(node)
  node.libp2p.addEventListener('peer:identify', ({ detail }) => {
    identified.set(detail.peerId.toString(), {
      agent: detail.agentVersion,
      protocol_version: detail.protocolVersion,
      protocols: detail.protocols,
      addrs: detail.listenAddrs.map(String),
      signed: detail.signedPeerRecord != null
    })
  })
  return about()
}

function about () {
  return {
    peer: node.libp2p.peerId.toString(),
    addrs: node.libp2p.getMultiaddrs().map(String),
    listening: node.libp2p.components.transportManager.getAddrs().map(String),
    protocols: node.libp2p.getProtocols(),
    agent: `${node.info.name}/${node.info.version}`,
    node: process.version,
    rss_bytes: process.memoryUsage().rss
  }
}

/* --- connections ---------------------------------------------------------- */

async function waitFor (what, signal) {
  for (;;) {
    signal.throwIfAborted()
    const found = what()
    if (found != null) return found
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

function describe (connection) {
  return {
    peer: connection.remotePeer.toString(),
    addr: connection.remoteAddr.toString(),
    direction: connection.direction,
    encryption: connection.encryption,
    multiplexer: connection.multiplexer,
    status: connection.status,
    streams: connection.streams.length
  }
}

const connectionsTo = (peer) => node.libp2p.getConnections()
  .filter((connection) => peer == null || connection.remotePeer.toString() === peer)

/* --- UnixFS --------------------------------------------------------------- */

// @helia/unixfs lays its own defaults over the profile unless these names are
// present; present and undefined, the importer takes them from the profile.
const importOptions = (profile, signal) => ({
  profile, cidVersion: undefined, rawLeaves: undefined, layout: undefined, chunker: undefined, signal
})

async function * lazily (file) {
  yield * fs.createReadStream(file, { highWaterMark: 1 << 20 })
}

async function * candidates (root, relative = '') {
  const entries = await fsp.readdir(path.join(root, relative), { withFileTypes: true })
  for (const entry of entries) {
    const below = path.posix.join(relative, entry.name)
    if (entry.isDirectory()) {
      yield { path: below }
      yield * candidates(root, below)
    } else if (entry.isFile()) {
      yield { path: below, content: lazily(path.join(root, below)) }
    } else {
      throw new Error(`${below}: this importer takes files and directories only`)
    }
  }
}

async function addTree (root, profile, signal) {
  let last
  for await (const entry of files.addAll(candidates(root), {
    ...importOptions(profile, signal), wrapWithDirectory: true
  })) {
    last = entry
  }
  return last?.cid ?? await files.addDirectory({}, importOptions(profile, signal))
}

async function writeFile (cid, out, signal) {
  const handle = await fsp.open(out, 'w')
  let size = 0
  let firstByteNs = 0
  try {
    for await (const chunk of files.cat(cid, { signal })) {
      if (firstByteNs === 0) firstByteNs = Number(process.hrtime.bigint())
      await handle.write(chunk)
      size += chunk.byteLength
    }
  } finally {
    await handle.close()
  }
  return { size, first_byte_ns: firstByteNs }
}

async function writeTree (cid, out, signal) {
  const stat = await files.stat(cid, { signal })
  if (stat.unixfs?.type === 'symlink') {
    await fsp.symlink(Buffer.from(stat.unixfs.data), out)
    return { size: 0 }
  }
  if (stat.type !== 'directory') return writeFile(cid, out, signal)
  await fsp.mkdir(out, { recursive: true })
  let size = 0
  const running = new Set()
  for await (const entry of files.ls(cid, { signal })) {
    const job = writeTree(entry.cid, path.join(out, entry.name), signal)
      .then((written) => { size += written.size })
      .finally(() => running.delete(job))
    running.add(job)
    if (running.size >= PARALLEL_ENTRIES) await Promise.race(running)
  }
  await Promise.all(running)
  return { size }
}

/* --- blocks --------------------------------------------------------------- */

async function readBlock (cid, options) {
  const parts = []
  for await (const part of node.blockstore.get(cid, options)) parts.push(part)
  return Buffer.concat(parts)
}

async function putBlock (file, codec, signal) {
  const bytes = await fsp.readFile(file)
  const digest = Digest.create(sha256.code, (await sha256.digest(bytes)).digest)
  const cid = CID.createV1(CODECS[codec], digest)
  await node.blockstore.put(cid, bytes, { signal })
  return cid
}

// From now on the node lies: each block that it holds has wrong bytes under the
// CID that it had. The store in memory hands out its own bytes, so they are
// changed where they lie, and nothing looks at them again before they are sent.
async function spoil (signal) {
  let blocks = 0
  for await (const { cid } of node.blockstore.getAll({ signal })) {
    for await (const part of node.blockstore.get(cid, { offline: true, signal })) part[0] ^= 1
    blocks++
  }
  return blocks
}

// Asks one connected peer whether it has a block, with sendDontHave set: the
// plain answer to a plain question, which the block API would hide.
async function presence (cid, peer, signal) {
  const { bitswap } = node.blockBrokers.find((broker) => broker.name === 'bitswap')
  const [connection] = connectionsTo(peer)
  if (connection == null) throw new Error(`not connected to ${peer}`)
  const answer = await bitswap.wantList.wantSessionPresence(cid, connection.remotePeer, { signal })
  return answer.has
}

/* --- requests ------------------------------------------------------------- */

const plain = (_, value) => typeof value === 'bigint' ? Number(value) : value

const operations = {
  start,
  about: async () => about(),
  connect: async ({ addr, force = false, signal }) => {
    const connection = await node.libp2p.dial(multiaddr(addr), { force, signal })
    const peer = connection.remotePeer.toString()
    await waitFor(() => identified.get(peer), signal)
    return describe(connection)
  },
  disconnect: async ({ peer, abort = false, signal }) => {
    for (const connection of connectionsTo(peer)) {
      if (abort) connection.abort(new Error('closed by the test'))
      else await connection.close({ signal })
    }
    return {}
  },
  connections: async ({ peer }) => ({ connections: connectionsTo(peer).map(describe) }),
  identified: async ({ peer, signal }) => ({ identify: await waitFor(() => identified.get(peer), signal) }),
  discovered: async ({ peer, signal }) => ({ addrs: await waitFor(() => discovered.get(peer), signal) }),
  inbound: async () => ({ streams: inbound }),
  ping: async ({ peer, addr, signal }) => {
    const target = addr != null ? multiaddr(addr) : connectionsTo(peer)[0]?.remotePeer
    if (target == null) throw new Error(`not connected to ${peer}`)
    return { ms: await node.libp2p.services.ping.ping(target, { signal }) }
  },
  add: async ({ path: from, profile = 'unixfs-v1-2025', signal }) => {
    const isTree = (await fsp.stat(from)).isDirectory()
    const cid = isTree
      ? await addTree(from, profile, signal)
      : await files.addByteStream(lazily(from), importOptions(profile, signal))
    return { cid: cid.toString() }
  },
  get: async ({ cid, out, signal }) => writeTree(CID.parse(cid), out, signal),
  ls: async ({ cid, signal }) => {
    const entries = []
    for await (const entry of files.ls(CID.parse(cid), { signal })) {
      entries.push({ name: entry.name, cid: entry.cid.toString() })
    }
    return { entries }
  },
  stat: async ({ cid, offline = false, signal }) => {
    const { cid: found, type, size, mode } = await files.stat(CID.parse(cid), { offline, signal })
    return { cid: found.toString(), type, size, mode }
  },
  has: async ({ cid, signal }) => ({ has: await node.blockstore.has(CID.parse(cid), { signal }) }),
  presence: async ({ cid, peer, signal }) => ({ has: await presence(CID.parse(cid), peer, signal) }),
  block_put: async ({ path: from, codec = 'raw', signal }) => ({
    cid: (await putBlock(from, codec, signal)).toString()
  }),
  block_get: async ({ cid, out, signal }) => {
    const bytes = await readBlock(CID.parse(cid), { signal })
    await fsp.writeFile(out, bytes)
    return { size: bytes.byteLength }
  },
  provide: async ({ cid, signal }) => {
    await node.libp2p.contentRouting.provide(CID.parse(cid), { signal })
    return {}
  },
  providers: async ({ cid, count, signal }) => {
    const found = new Set()
    for await (const provider of node.libp2p.contentRouting.findProviders(CID.parse(cid), { signal })) {
      found.add(provider.id.toString())
      if (found.size >= count) break
    }
    return { peers: [...found] }
  },
  find_peer: async ({ peer, signal }) => ({
    addrs: (await node.libp2p.peerRouting.findPeer(peerIdFromString(peer), { signal })).multiaddrs.map(String)
  }),
  key_gen: async ({ key, type, signal }) => {
    await node.keychain.generateKey(key, { type, signal })
    return {}
  },
  publish: async ({ key, path, signal }) => ({ name: (await names.publish(key, path, { signal })).name }),
  resolve: async ({ name, signal }) => {
    let value
    for await (const result of names.resolve(name, { nocache: true, signal })) value = result.value
    return { path: value }
  },
  dht_peers: async () => ({
    peers: [...node.libp2p.services.dht.routingTable.kb.toIterable()].map(({ peerId }) => peerId.toString())
  }),
  spoil: async ({ signal }) => ({ blocks: await spoil(signal) }),
  stop: async ({ signal }) => {
    await node?.stop({ signal })
    return {}
  }
}

async function answer (line) {
  let request = {}
  try {
    request = JSON.parse(line)
    const operation = operations[request.op]
    if (operation == null) throw new Error(`unknown op ${request.op}`)
    const signal = AbortSignal.timeout(request.timeout_ms ?? 30_000)
    const result = await operation({ ...request, signal })
    return { ...result, id: request.id, ok: true }
  } catch (err) {
    const causes = (err.errors ?? []).map((cause) => cause.message)
    return { id: request.id, ok: false, error: [`${err.name}: ${err.message}`, ...causes].join('; ') }
  }
}

// A background failure of the node is worth a line, never the end of the test.
process.on('unhandledRejection', (err) => console.error('unhandled:', err?.message ?? err))

const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity })
lines.on('line', async (line) => {
  const reply = await answer(line)
  process.stdout.write(JSON.stringify(reply, plain) + '\n')
  if (reply.ok && JSON.parse(line).op === 'stop') process.exit(0)
})
lines.on('close', () => process.exit(0))
