// What the pages of `redtape report` use of libraries: charts of Apache ECharts as SVG, and dagre's layout of graphs.
import { BarChart, GraphChart, HeatmapChart, LineChart } from "echarts/charts";
import {
  AriaComponent,
  GridComponent,
  LegendPlainComponent,
  TooltipComponent,
  VisualMapContinuousComponent,
} from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import dagre from "@dagrejs/dagre";

use([
  AriaComponent,
  BarChart,
  GraphChart,
  GridComponent,
  HeatmapChart,
  LegendPlainComponent,
  LineChart,
  SVGRenderer,
  TooltipComponent,
  VisualMapContinuousComponent,
]);

const { graphlib, layout } = dagre;
export { graphlib, init, layout };
