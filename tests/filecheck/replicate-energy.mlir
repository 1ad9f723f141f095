// RUN: imcc opt %s --passes "quantize,partition,replicate{objective=energy}"

// The fewest crossbars: one copy, and two neighbouring outputs from one crossbar's 32 columns.
builtin.module {
  %x = imc.input "x" : tensor<1x3x32x32xf32>
  %w = imc.weight "w" : tensor<16x3x3x3xf32>
  %y = imc.matmul %x, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]>, activation = "none"} : tensor<1x3x32x32xf32>, tensor<16x3x3x3xf32> -> tensor<1x16x32x32xf32>
  imc.output "y" %y : tensor<1x16x32x32xf32>
}
// CHECK: imc.matmul {{.*}} replication = #imc.replication<copies = 1, unroll = 2>
