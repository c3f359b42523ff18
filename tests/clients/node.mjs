// SPDX-License-Identifier: MIT
// node node.mjs MODEL LAYERS|auto N [GPU]: N greedy tokens by node-llama-cpp's prebuilt binary, as one line of JSON.
import {readFileSync} from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [modelPath, layers, n, gpu] = process.argv.slice(2);
const llama = await getLlama({build: "never", gpu: gpu ?? "auto", maxThreads: 1, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath, gpuLayers: layers === "auto" ? "auto" : Number(layers)});
const context = await model.createContext({contextSize: 512, threads: 1});
const tokens = [];
for await (const token of context.getSequence().evaluate(model.tokenize("The host computes", true), {temperature: 0, yieldEogToken: true})) {
    tokens.push(token);
    if (tokens.length === Number(n))
        break;
}
const [cpu] = /\S*\/libggml-cpu-[^/]*\.so$/m.exec(readFileSync("/proc/self/maps", "utf8")) ?? [""];
console.log(JSON.stringify({tokens, layers: model.gpuLayers, gpu: llama.gpu, devices: await llama.getGpuDeviceNames(), cpu}));
await llama.dispose();
