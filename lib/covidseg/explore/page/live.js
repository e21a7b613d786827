// The live network: a worker that runs it, and the answers it gave.

class LiveNetwork {
  // number: which network of the catalogue
  constructor(number) {
    this.number = number;
    this.worker = null;
    this.waiting = new Map();
    this.answers = new Map(); // key of a job -> promise of a look
    this.next = 0;
  }

  // The worker's program is text in this page; the numbers go with it, once.
  async start() {
    const program = document.getElementById("live-program").textContent;
    const address = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
    this.worker = new Worker(address);
    this.worker.onmessage = ({ data }) => this.receive(data);
    this.worker.onerror = (event) => this.waiting.forEach(({ reject }) => reject(new Error(event.message)));
    const { live, preprocessing, channels } = catalogue.networks[this.number];
    const numbers = new Float32Array((await unpack(`numbers-${this.number}`)).buffer);
    this.worker.postMessage({ model: { network: live, preprocessing, channels }, numbers });
  }

  receive({ id, answer, error }) {
    const { resolve, reject } = this.waiting.get(id);
    this.waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve(answer);
  }

  // What the network makes of a slice: a look as storedLook has it, and ms, the time of the pass.
  // job: {slice: {data, H, W}, intensity, window, size, off}; key: the same for the same job.
  async look(key, job) {
    if (!this.answers.has(key)) {
      if (this.answers.size > 40) this.answers.delete(this.answers.keys().next().value);
      this.answers.set(key, this.ask(job));
    }
    return this.answers.get(key);
  }

  async ask(job) {
    this.starting ??= this.start();
    await this.starting;
    const id = this.next++;
    const answer = await new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, job });
    });
    const { H, W } = job.slice;
    return { H, W, odds: oddsInSteps(answer.odds.data), maps: answer.maps, ms: answer.ms };
  }
}
