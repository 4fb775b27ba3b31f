// One window at a time: a second one asks, and the first answers.

export function claim(name, { onTaken }) {
  if (!("BroadcastChannel" in window)) return Promise.resolve({ free: true, take() {} });
  const id = `${performance.timeOrigin + performance.now()}-${Math.random()}`;
  const channel = new BroadcastChannel(`rsa-faces-${name}`);
  let live = true; // a window that still waits for answers counts, if it was first
  let decided = false;
  const handle = {
    free: true,
    take() {
      live = true;
      channel.postMessage({ kind: "take", from: id });
    },
  };
  return new Promise((resolve) => {
    channel.onmessage = ({ data }) => {
      if (data.kind === "hello" && live && (decided || id < data.from)) {
        channel.postMessage({ kind: "here", to: data.from });
      } else if (data.kind === "here" && data.to === id && !decided) {
        live = false;
        decided = true;
        handle.free = false;
        resolve(handle);
      } else if (data.kind === "take" && data.from !== id && live) {
        live = false;
        onTaken();
      }
    };
    channel.postMessage({ kind: "hello", from: id });
    setTimeout(() => {
      decided = true;
      resolve(handle);
    }, 350);
  });
}
