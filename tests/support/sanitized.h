/* SPDX-License-Identifier: MIT */
/*
 * SANITIZED: built with AddressSanitizer. Memory grows then, by its own books; what is lost it finds by itself.
 * SHADOWED: or with ThreadSanitizer, so a program has several times the memory that it asked for.
 */
#ifndef TESTS_SUPPORT_SANITIZED_H
#define TESTS_SUPPORT_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED 0
#endif

#if defined(__SANITIZE_THREAD__)
#define SHADOWED 1
#elif defined(__has_feature)
#define SHADOWED (SANITIZED || __has_feature(thread_sanitizer))
#else
#define SHADOWED SANITIZED
#endif

#endif
