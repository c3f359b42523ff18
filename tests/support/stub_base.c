/* SPDX-License-Identifier: MIT */
/* Stands for libggml-base when a library is linked that needs it; when it is loaded, the real one comes. */
const char *ggml_version(void);
const char *ggml_version(void)
{
	return "none";
}

void *ggml_graph_node(void *graph, int i);
void *ggml_graph_node(void *graph, int i)
{
	(void)graph, (void)i;
	return 0;
}
