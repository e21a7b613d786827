// Runs a network that Python wrote down as a flat list of operations (covidseg/nn/flat.py).

// network: {ops, maps, output}; numbers: Float32Array; image: a map, normalised; off: Set of switches.
// Returns {logits, maps}: every map under the paper's name. What no later operation reads is let go at once.
function runNetwork(network, numbers, image, off) {
  const results = [image];
  const kept = new Set([network.output, ...Object.values(network.maps)]);
  const lastUse = new Map();
  network.ops.forEach((op, step) => op.in.forEach((i) => lastUse.set(i, step)));
  network.ops.forEach((op, step) => {
    results[op.out] = off.has(op.switch)
      ? silent(op, results, numbers)
      : runOperation(op, op.in.map((i) => results[i]), numbers);
    for (const i of op.in) if (lastUse.get(i) === step && !kept.has(i)) results[i] = null;
  });
  const maps = Object.entries(network.maps).map(([name, i]) => [name, results[i]]);
  return { logits: results[network.output], maps: Object.fromEntries(maps) };
}

// An operation that was switched off answers zeros of the size it would have had.
function silent(op, results, numbers) {
  const y = runOperation(op, op.in.map((i) => results[i]), numbers);
  y.data.fill(0);
  return y;
}

function runOperation(op, inputs, numbers) {
  const row = ([first, count]) => numbers.subarray(first, first + count);
  const [x, z] = inputs;
  switch (op.op) {
    case "conv": return conv(x, row(op.w), row(op.b), op);
    case "pool": return pool(x, op);
    case "prelu": return prelu(x, row(op.slope));
    case "add": return add(x, z);
    case "gate": return gate(x, z);
    case "sigmoid": return sigmoid(x);
    case "cat": return cat(inputs);
    case "part": return part(x, op.first, op.count);
    case "resize": return resize(x, z.H, z.W);
    default: throw new Error(`No operation is called ${op.op}.`);
  }
}
