#!/usr/bin/env node
import { runNodeJs } from "@bufbuild/protoplugin";
import { protocGenCountersign } from "./plugin.ts";

runNodeJs(protocGenCountersign);
