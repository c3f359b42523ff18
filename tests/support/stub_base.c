/* SPDX-License-Identifier: MIT */
/* Stands for libggml-base when a library is linked that needs it; when it is loaded, the real one comes. */
const char *ggml_version(void);
const char *ggml_version(void)
{
	return "none";
}
