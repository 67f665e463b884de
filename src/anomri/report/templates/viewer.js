// The slice viewer: three planes of one volume, a heatmap above them, a cross-hair through one voxel.
//
// Voxels run X to the patient's right, Y to the front, Z to the head; every plane shows both its axes backwards, so
// that axial and coronal slices follow the radiological convention. Nothing is loaded; all data stand in the page.
"use strict";

const PLANES = {
  axial: { across: 0, down: 1, through: 2 },
  coronal: { across: 0, down: 2, through: 1 },
  sagittal: { across: 1, down: 2, through: 0 },
};
const WHEEL_STEP = 40; // pixels of scrolling that make one slice; a notch of a mouse wheel makes exactly one

const data = JSON.parse(document.getElementById("scan-data").textContent);
const viewer = document.getElementById("viewer");
const at = data.start.slice();
const layers = {};
const shades = { opacity: 0.6, threshold: 1 };
let chosen = data.overlays[0]; // what lies over the scan; none where there is no heatmap
const canvases = [...viewer.querySelectorAll("canvas[data-plane]")];

// Volumes are stored as differences of differences along X and Y: two running sums, modulo 256, undo it.
async function unpack(layer) {
  const packed = Uint8Array.from(atob(layer.data), (c) => c.charCodeAt(0));
  const inflated = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const values = new Uint8Array(await new Response(inflated).arrayBuffer());
  const [nx, ny, nz] = layer.shape;
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      const row = (z * ny + y) * nx;
      for (let x = 0; x < nx; x++) {
        if (y > 0) values[row + x] += values[row + x - nx];
      }
    }
  }
  for (let row = 0; row < values.length; row += nx) {
    for (let x = 1; x < nx; x++) values[row + x] += values[row + x - 1];
  }
  return { values, shape: layer.shape, step: layer.step };
}

function valueAt(layer, x, y, z) {
  const { values, shape, step } = layer;
  const i = Math.floor(x / step), j = Math.floor(y / step), k = Math.floor(z / step);
  return values[(k * shape[1] + j) * shape[0] + i];
}

function sizeOf(plane) {
  const { across, down } = PLANES[plane];
  return { width: data.shape[across], height: data.shape[down] };
}

// One slice as pixels, a pixel a voxel: grey, and the heatmap's colour mixed in above the threshold.
function slicePixels(plane, layer, overlay) {
  const { across, down, through } = PLANES[plane];
  const { width, height } = sizeOf(plane);
  const image = new ImageData(width, height), colours = coloursOf(chosen);
  const voxel = [0, 0, 0];
  voxel[through] = at[through];
  for (let row = 0, p = 0; row < height; row++) {
    voxel[down] = height - 1 - row;
    for (let column = 0; column < width; column++, p += 4) {
      voxel[across] = width - 1 - column;
      const grey = valueAt(layer, voxel[0], voxel[1], voxel[2]);
      let red = grey, green = grey, blue = grey;
      if (overlay) {
        const heat = valueAt(overlay, voxel[0], voxel[1], voxel[2]);
        if (heat > 0 && strength(heat) >= shades.threshold) {
          const c = heat * 3, keep = 1 - shades.opacity;
          red = keep * grey + shades.opacity * colours[c];
          green = keep * grey + shades.opacity * colours[c + 1];
          blue = keep * grey + shades.opacity * colours[c + 2];
        }
      }
      image.data[p] = red;
      image.data[p + 1] = green;
      image.data[p + 2] = blue;
      image.data[p + 3] = 255;
    }
  }
  return image;
}

const sheet = document.createElement("canvas");

function draw(canvas) {
  const plane = canvas.dataset.plane, layer = layers[canvas.dataset.layer];
  if (!layer || !canvas.clientWidth) return;
  const { across, down } = PLANES[plane];
  const { width, height } = sizeOf(plane);
  const overlay = canvas.dataset.layer === "scan" && chosen ? layers[chosen.layer] : null;
  sheet.width = width;
  sheet.height = height;
  sheet.getContext("2d").putImageData(slicePixels(plane, layer, overlay), 0, 0);
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(sheet, 0, 0, canvas.width, canvas.height);
  const x = (width - 0.5 - at[across]) * canvas.width / width;
  const y = (height - 0.5 - at[down]) * canvas.height / height;
  drawCross(context, x, y, 9 * ratio, ratio);
}

// Open in the middle, so that the cross-hair never hides what it points at.
function drawCross(context, x, y, gap, width) {
  context.strokeStyle = "rgba(140, 215, 255, 0.65)";
  context.lineWidth = width;
  context.beginPath();
  for (const [x0, y0, x1, y1] of [
    [0, y, x - gap, y], [x + gap, y, context.canvas.width, y],
    [x, 0, x, y - gap], [x, y + gap, x, context.canvas.height],
  ]) {
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
  }
  context.stroke();
}

function shown(value) {
  return Number(value.toPrecision(3)).toString().replace("-", "−");
}

function heatValue(byte) {
  return chosen.low + (byte - 1) / 254 * (chosen.high - chosen.low);
}

// How far up the threshold's slider a stored value stands, 1–255: of a signed map by its distance from 0, at 128.
function strength(byte) {
  return chosen.signed ? 1 + 2 * Math.abs(byte - 128) : byte;
}

function thresholdValue() {
  return chosen.signed ? (shades.threshold - 1) / 254 * chosen.high : heatValue(shades.threshold);
}

function coloursOf(overlay) {
  return overlay && overlay.signed ? data.signed_colours : data.colours;
}

function millimetres() {
  return data.affine.map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]);
}

function describe() {
  const mm = millimetres().map((v) => v.toFixed(0).replace("-", "−").replace(/^−0$/, "0"));
  let text = `x ${mm[0]}   y ${mm[1]}   z ${mm[2]} mm (RAS)`;
  if (chosen) {
    const byte = valueAt(layers[chosen.layer], ...at);
    const bound = byte === 255 ? "≥ " : byte === 1 ? "≤ " : "";
    text += byte ? `     ${chosen.layer === "heat" ? "heatmap" : chosen.label} ${bound}${shown(heatValue(byte))}` : "     not examined";
  }
  document.getElementById("readout").textContent = text;
  viewer.dataset.at = at.join(",");
  for (const canvas of canvases) {
    const { through } = PLANES[canvas.dataset.plane];
    const place = `${at[through] + 1} / ${data.shape[through]}`;
    canvas.setAttribute("aria-valuemax", data.shape[through]);
    canvas.setAttribute("aria-valuenow", at[through] + 1);
    canvas.setAttribute("aria-valuetext", `slice ${place}, ${mm[through]} mm`);
    canvas.parentElement.querySelector("output").textContent = place;
  }
  for (const bar of document.querySelectorAll(".jump")) {
    bar.classList.toggle("current", Number(bar.dataset.slice) === at[2]);
  }
}

let waiting = false;

function update() {
  describe();
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    canvases.forEach(draw);
  });
}

function moveTo(axis, index) {
  at[axis] = Math.min(Math.max(Math.round(index), 0), data.shape[axis] - 1);
}

// ---- what the reader does

function pointAt(canvas, event) {
  const { across, down } = PLANES[canvas.dataset.plane];
  const { width, height } = sizeOf(canvas.dataset.plane);
  const box = canvas.getBoundingClientRect();
  moveTo(across, width - 1 - Math.floor((event.clientX - box.left) / box.width * width));
  moveTo(down, height - 1 - Math.floor((event.clientY - box.top) / box.height * height));
  update();
}

function listenTo(canvas) {
  const { through } = PLANES[canvas.dataset.plane];
  let scrolled = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointAt(canvas, event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) pointAt(canvas, event);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    scrolled += event.deltaMode === 0 ? event.deltaY : event.deltaY * WHEEL_STEP;
    if (Math.abs(scrolled) < WHEEL_STEP) return;
    moveTo(through, at[through] - Math.sign(scrolled));
    scrolled = 0;
    update();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 };
    const ends = { Home: 0, End: data.shape[through] - 1 };
    if (event.key in steps) moveTo(through, at[through] + steps[event.key]);
    else if (event.key in ends) moveTo(through, ends[event.key]);
    else return;
    event.preventDefault();
    update();
  });
}

function listenToControls() {
  const opacity = document.getElementById("opacity"), threshold = document.getElementById("threshold");
  const choose = (overlay) => {
    chosen = overlay;
    const low = overlay.signed ? 0 : overlay.low;
    const level = (overlay.threshold - low) / (overlay.high - low);
    threshold.value = Math.min(Math.max(Math.ceil(1 + 254 * level), 1), 255);
    document.getElementById("scale-name").textContent = overlay.label;
    document.getElementById("scale-low").textContent = (overlay.signed ? "≤ " : "") + shown(overlay.low);
    document.getElementById("scale-high").textContent = `≥ ${shown(overlay.high)}`;
    document.getElementById("bar").ariaLabel = `Colour scale from ${shown(overlay.low)} to ${shown(overlay.high)}`;
  };
  const read = () => {
    shades.opacity = opacity.value / 100;
    shades.threshold = Number(threshold.value);
    document.getElementById("opacity-value").textContent = `${opacity.value} %`;
    document.getElementById("threshold-value").textContent = (chosen.signed ? "±" : "") + shown(thresholdValue());
    drawBar();
    update();
  };
  opacity.addEventListener("input", read);
  threshold.addEventListener("input", read);
  document.getElementById("overlay")?.addEventListener("change", (event) => {
    choose(data.overlays[event.target.value]);
    read();
  });
  choose(data.overlays[0]);
  read();
}

// A peak below the level at which the overlay starts is shown by starting lower.
function reveal() {
  const overlay = document.getElementById("overlay"), threshold = document.getElementById("threshold");
  if (overlay && overlay.value !== "0") {
    overlay.value = "0";
    overlay.dispatchEvent(new Event("change"));
  }
  const peak = strength(valueAt(layers[chosen.layer], ...at));
  threshold.value = Math.max(1, Math.min(threshold.value, Math.floor(0.8 * peak)));
  threshold.dispatchEvent(new Event("input"));
}

function drawBar() {
  const bar = document.getElementById("bar"), context = bar.getContext("2d");
  context.clearRect(0, 0, 256, 10);
  for (let i = 0; i < 256; i++) {
    const [red, green, blue] = coloursOf(chosen).slice(3 * i, 3 * i + 3);
    context.fillStyle = `rgba(${red}, ${green}, ${blue}, ${strength(i) < shades.threshold ? 0.22 : 1})`;
    context.fillRect(i, 0, 1, 10);
  }
}

function layOut() {
  const mm = data.shape.map((n, axis) => n * data.spacing_mm[axis]);
  for (const plane of viewer.querySelectorAll(".plane")) {
    const { across, down } = PLANES[plane.dataset.plane];
    plane.style.flexGrow = mm[across]; // equal scale in all planes
    plane.querySelector("canvas").style.aspectRatio = `${mm[across]} / ${mm[down]}`;
  }
}

function listenToPage() {
  for (const button of document.querySelectorAll("[data-block]")) {
    button.addEventListener("click", () => {
      button.dataset.block.split(",").forEach((index, axis) => moveTo(axis, Number(index)));
      if ("reveal" in button.dataset) reveal();
      update();
      viewer.scrollIntoView({ block: "nearest" });
    });
  }
  for (const bar of document.querySelectorAll(".jump")) {
    bar.addEventListener("click", () => {
      moveTo(2, Number(bar.dataset.slice));
      update();
    });
  }
  new ResizeObserver(update).observe(viewer);
}

async function start() {
  layOut();
  for (const name of Object.keys(data.layers)) layers[name] = await unpack(data.layers[name]);
  canvases.forEach(listenTo);
  if (chosen) listenToControls();
  listenToPage();
  update();
  viewer.dataset.ready = "yes";
}

start().catch((error) => {
  document.getElementById("readout").textContent = `The images cannot be shown in this browser: ${error.message}`;
});
