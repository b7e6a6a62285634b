// The outlook of one item: what was sold each day, and the range that the next days are expected to fall into.
"use strict";

(() => {
  const place = document.querySelector("[data-chart]");
  if (!place || typeof uPlot === "undefined") return;
  const data = JSON.parse(place.dataset.chart);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let plot;

  const draw = () => {
    plot?.destroy();
    const [accent, soft, line] = ["--accent", "--soft", "--line"].map(colour);
    const axis = { stroke: soft, font: `16px ${getComputedStyle(document.body).fontFamily}`, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const days = (u, ticks) => ticks.map((s) => data.labels[Math.round((s - data.days[0]) / 86400)] ?? "");
    plot = new uPlot({
      width: place.clientWidth,
      height: 240,
      legend: { show: false },
      cursor: { show: false },
      padding: [12, 12, 0, 0],
      scales: { x: { time: false, range: (u, low, high) => [low - 43200, high + 43200] }, y: { range: (u, low, high) => [0, Math.max(4, high * 1.1)] } },
      axes: [
        { ...axis, grid: { show: false }, values: days, splits: () => data.days.filter((_, n) => n % 14 === 0) },
        { ...axis, size: 52, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] },
      ],
      series: [
        {},
        { stroke: accent, fill: accent, alpha: 0.55, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.7, 20] }) },
        { stroke: "transparent", points: { show: false } },
        { stroke: "transparent", points: { show: false } },
        { stroke: accent, width: 2.5, points: { show: false } },
      ],
      bands: [{ series: [3, 2], fill: `color-mix(in srgb, ${accent} 28%, transparent)` }],
      hooks: {
        draw: [(u) => {
          const x = u.valToPos(data.today, "x", true);
          u.ctx.save();
          u.ctx.strokeStyle = soft;
          u.ctx.lineWidth = devicePixelRatio;
          u.ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
          u.ctx.beginPath();
          u.ctx.moveTo(x, u.bbox.top);
          u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
          u.ctx.stroke();
          u.ctx.restore();
        }],
      },
    }, [data.days, data.sold, data.low, data.high, data.middle], place);
  };

  draw();
  new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: 240 })).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
