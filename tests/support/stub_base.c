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

int ggml_graph_n_nodes(void *graph);
int ggml_graph_n_nodes(void *graph)
{
	(void)graph;
	return 0;
}

unsigned long ggml_nbytes(const void *tensor);
unsigned long ggml_nbytes(const void *tensor)
{
	(void)tensor;
	return 0;
}

long ggml_blck_size(int type);
long ggml_blck_size(int type)
{
	(void)type;
	return 0;
}
