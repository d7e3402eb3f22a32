// Browsers run no worker from a file. The search of the site is one, so where a page was opened as a
// file it runs in a hidden frame instead, with as much of a worker's interface as it uses.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.srcdoc = "<body></body>";
      frame.onload = () => this.begin(frame.contentWindow, url);
      this.waiting = [];
      document.body.append(frame);
    }

    async begin(inside, url) {
      this.inside = inside;
      // What the worker says goes to whoever listens to this object.
      inside.postMessage = (data) => this.tell(data);
      inside.importScripts = async (...urls) => {
        for (const one of urls) await this.load(one);
      };
      await this.load(url);
      this.ready = true;
      this.waiting.splice(0).forEach((data) => this.postMessage(data));
    }

    load(url) {
      return new Promise((resolve, reject) => {
        const script = this.inside.document.createElement("script");
        script.src = new URL(url, location.href).href;
        script.onload = resolve;
        script.onerror = () => reject(new Error(`${script.src} cannot be read`));
        this.inside.document.body.append(script);
      });
    }

    tell(data) {
      const event = new MessageEvent("message", { data });
      this.dispatchEvent(event);
      this.onmessage?.(event);
    }

    postMessage(data) {
      if (!this.ready) {
        this.waiting.push(data);
        return;
      }
      this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data }));
    }

    terminate() {
      this.inside.frameElement.remove();
    }
  };
}
