// The worker: a network of its own thread, so that the page stays quick while it computes.
// First message: {model, numbers}. Every other: {id, job}; the answer bears the same id.

let model = null, numbers = null;

onmessage = ({ data }) => {
  if (data.model) {
    ({ model, numbers } = data);
    return;
  }
  try {
    const answer = predictSlice(model, numbers, data.job);
    const buffers = new Set([answer.odds, ...Object.values(answer.maps)].map((map) => map.data.buffer));
    postMessage({ id: data.id, answer }, [...buffers]); // handed over, not copied
  } catch (error) {
    postMessage({ id: data.id, error: String(error.message || error) });
  }
};
