// What js-libp2p takes from Node.js 22 and later, for the one that Debian has.
Promise.withResolvers ??= function () {
  const out = {}
  out.promise = new Promise((resolve, reject) => Object.assign(out, { resolve, reject }))
  return out
}
