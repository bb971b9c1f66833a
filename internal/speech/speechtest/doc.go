// Package speechtest proves that a speech engine keeps the contract of speech/engine.
//
// [Exercise] is called by the tests of each driver. Its checks listen to the result (length, level, silence), never to words.
package speechtest
